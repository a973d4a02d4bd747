"""A Feast repository with spaces of one name, whose store is written by our sinks, and readers of it."""

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from feast import FeatureStore

import undertow
from tests.feature_repo.stock import copy_of_repo
from tests.fleet import quick_feast
from undertow.adapters.feast_repo import online_recipe, register
from undertow.adapters.feast_served import read_served
from undertow.adapters.redis_served import write_redis_served
from undertow.adapters.sqlite_served import write_sqlite_served
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings
from undertow.wiring.stores import open_online, publish_served

SERIES = (IdColumn(name="wearer", type="string"), IdColumn(name="session", type="integer"))
FIRST, SECOND = (
    SpaceView(name="har", space=digit * 64, series=SERIES, features=(("hidden", 3), ("gate", 1))) for digit in "ab"
)
SIMPLE = SpaceView(name="ecg", space="e" * 64, series=SERIES[:1], features=(("hidden", 2),))
JUNE = 1_717_200_000_123_456
JUNE_S = JUNE / 1_000_000
CONFIG = """
project: {project}
provider: local
registry: {folder}/registry.db
online_store: {store}
offline_store: {{type: duckdb}}
entity_key_serialization_version: 3
"""


class World:
    """One Feast repository and its online store. What is promoted is changed as `apply` does it, without Feast."""

    def __init__(self, folder: Path, project: str, kind: str, store: str) -> None:
        self.folder, self.project, self.kind = folder, project, kind
        self.repo = copy_of_repo(folder)
        (self.repo / "data").mkdir()
        (self.repo / "feature_store.yaml").write_text(CONFIG.format(project=project, folder=folder, store=store))
        self.feast = FeastSettings(repo=self.repo)

    def apply(self, *views: SpaceView, promote: bool = False, ttl_s: int | None = None) -> None:
        """Do what `undertow apply` does: it takes seconds."""
        for view in views:
            register(self.repo, view, self.folder / "offline" / view.view, promote=promote, ttl_s=ttl_s)
        quick_feast.apply(self.feast, {view.view: promote for view in views})
        publish_served(self.feast)

    def read_applied(self) -> None:
        """Remember what was applied, so that each test begins there."""
        published = read_served(self.feast)
        assert published
        self.published, self.recipes = published, {}

    def begin(self) -> None:
        """Forget all vectors, and serve what was applied."""
        self.say({name: one.to_text() for name, one in self.published.served.items()})
        if self.kind == "redis":
            address = str(self.published.options["connection_string"]).partition(",")[0]
            with closing(redis.Redis.from_url("redis://" + address)) as client:
                for key in client.scan_iter(f"*{self.project}"):
                    client.delete(key)
            return
        with closing(sqlite3.connect(self.published.options["path"])) as connection, connection:
            for view in (FIRST, SECOND, SIMPLE):
                connection.execute(f"DELETE FROM {self.project}_{view.view}")  # noqa: S608

    def say(self, records: dict[str, str]) -> None:
        """Let this be what is served."""
        if self.kind == "redis":
            write_redis_served(self.published.options, self.project, records)
        else:
            write_sqlite_served(Path(self.published.options["path"]), self.project, records)

    def text(self, promoted: SpaceView = FIRST, *, ttl_s: int | None = None) -> str:
        """Return the record of the name `har`."""
        served = self.published.served["har"]
        spaces = tuple(replace(space, ttl_seconds=ttl_s) for space in served.spaces)
        return replace(served, promoted=promoted.view, spaces=spaces).to_text()

    def write(self, view: SpaceView, *rows: tuple[str, int, float]) -> None:
        """Write rows of (wearer, event time, number that the vectors are made of)."""
        wearers, times, numbers = zip(*rows, strict=True)
        ids = {"wearer": np.array(wearers, object), "session": np.full(len(rows), 7, np.int64)}
        batch = EmbeddingBatch(
            space=view.space,
            series={column.name: ids[column.name] for column in view.series},
            event_us=np.array(times, np.int64),
            created_us=np.array(times, np.int64),
            features={name: vectors_of(numbers, size) for name, size in view.features},
        )
        if view.view not in self.recipes:
            self.recipes[view.view] = online_recipe(self.feast, view)
        sink = open_online(self.recipes[view.view])
        sink.write(batch)
        sink.close()

    def stock(self, view: SpaceView, rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
        """Ask Feast itself."""
        features = [f"{view.view}:{name}" for name, _ in view.features]
        response = FeatureStore(str(self.repo)).get_online_features(features=features, entity_rows=list(rows))
        return response.to_dict(include_event_timestamps=True)


def vectors_of(numbers: Sequence[float], size: int) -> np.ndarray:
    return (np.array(numbers, np.float32)[:, None] + np.arange(size, dtype=np.float32) / 10).astype(np.float32)


def ids(*wearers: str, session: int = 7) -> list[dict[str, Any]]:
    return [{"wearer": wearer, "session": session} for wearer in wearers]


def turned(count: int, *, begin: int = 0) -> list[tuple[str, int, float]]:
    """Rows of series `s<n>` whose vectors of two numbers turn away from the first one."""
    return [(f"s{number:02d}", JUNE, float(number)) for number in range(begin, begin + count)]


def ranked(rows: Sequence[tuple[str, int, float]], query: np.ndarray, metric: str) -> tuple[list[str], np.ndarray]:
    """Series and distances by plain numpy, nearest first."""
    vectors = np.array([[number, number + np.float32(0.1)] for _, _, number in rows], np.float32)
    if metric == "euclidean":
        apart = np.sqrt(((vectors - query) ** 2).sum(axis=1))
    else:
        apart = 1 - vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))
    order = np.argsort(apart, kind="stable")
    return [rows[place][0] for place in order], apart[order]


def await_indexes() -> None:
    """Return once no index is being made."""
    for thread in threading.enumerate():
        if thread.name == "index":
            thread.join()


class InLoop:
    """An `AsyncReader` that is asked as a `Reader` is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._reader = undertow.AsyncReader(*arguments, **options)

    def get(self, *arguments: Any, **options: Any) -> undertow.Vectors:
        return self._runner.run(self._reader.get(*arguments, **options))

    def neighbours(self, *arguments: Any, **options: Any) -> undertow.Neighbours:
        return self._runner.run(self._reader.neighbours(*arguments, **options))

    def close(self) -> None:
        self._runner.run(self._reader.close())
        self._runner.close()


@pytest.fixture(scope="session", params=["redis", "sqlite"])
def applied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A repository with two spaces of one name, the first promoted, and one of another; once for all tests."""
    world = make_world(request, request.param, tmp_path_factory.mktemp("reader"))
    world.apply(FIRST, SIMPLE)
    world.apply(SECOND)
    world.read_applied()
    return world


@pytest.fixture
def world(applied: World) -> World:
    """The same, as it was applied."""
    applied.begin()
    return applied


def make_world(request: pytest.FixtureRequest, kind: str, folder: Path) -> World:
    address = request.getfixturevalue("redis_address")
    stores = {"redis": f"{{type: redis, connection_string: '{address}'}}", "sqlite": "{type: sqlite, path: data/o.db}"}
    return World(folder, f"reader_{uuid.uuid4().hex[:12]}", kind, stores[kind])


@pytest.fixture(params=["threads", "asyncio"])
def open_reader(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Return what opens a reader, of either kind, that is closed at the end."""
    opened: list[Any] = []

    def make(place: Any, **options: Any) -> Any:
        kind = undertow.Reader if request.param == "threads" else InLoop
        opened.append(kind(place, **{"name": "har", "now": lambda: JUNE_S, **options}))
        return opened[-1]

    yield make
    for one in opened:
        one.close()

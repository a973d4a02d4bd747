"""Reading online: `undertow.Reader` beside Feast's SDK and Feast's own feature server, over one Redis.

In: nothing. Out: a table of milliseconds, in the README with `--write`. Starts a Redis; needs neither Kafka nor Ray.
"""

import argparse
import asyncio
import inspect
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from readme import Section
from report import print_machine
from rich import box
from rich.table import Table

import undertow
from undertow.adapters import feast_repo
from undertow.adapters.feast_repo import online_recipe, register
from undertow.devstack.processes import LOCALHOST, free_port, stop
from undertow.devstack.redis import RedisServer, await_redis, start_redis
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings
from undertow.wiring.stores import open_online, publish_served

sys.path.append(str(Path(__file__).parents[2]))
from tests.feature_repo.stock import copy_of_repo

SIZE, SERIES, NOW_US = 64, 10_000, 1_700_000_000_000_000
COUNTS = (1, 100, 1_000, 10_000)
TIMES = {1: 200, 100: 50, 1_000: 15, 10_000: 5}
"""How often each is asked, in turns."""
VIEW = SpaceView(
    name="bench",
    space="b" * 64,
    series=(IdColumn(name="site", type="string"),),
    features=(("embedding", SIZE),),
)
CONFIG = """
project: bench
provider: local
registry: {folder}/registry.db
online_store: {{type: redis, connection_string: '{redis}'}}
offline_store: {{type: duckdb}}
entity_key_serialization_version: 3
"""
SERVER_S = 120
Ask = Callable[[list[str]], Any]


@contextmanager
def started_redis(folder: Path) -> Iterator[str]:
    """Start a Redis; return its address."""
    server = RedisServer(folder=folder, port=free_port())
    process = start_redis(server, leashed=True)
    try:
        await_redis(server, process)
        yield server.address
    finally:
        stop(process, grace_seconds=10)


def make_repo(folder: Path, redis: str) -> FeastSettings:
    """Apply a view, and write a vector for each series."""
    repo = copy_of_repo(folder)
    (repo / "feature_store.yaml").write_text(CONFIG.format(folder=folder, redis=redis))
    feast = FeastSettings(repo=repo)
    register(repo, VIEW, folder / "offline")
    feast_repo.apply(feast, {VIEW.view: True})
    publish_served(feast)
    sink = open_online(online_recipe(feast, VIEW))
    sink.write(
        EmbeddingBatch(
            space=VIEW.space,
            series={"site": np.array(sites(SERIES), object)},
            event_us=np.full(SERIES, NOW_US),
            created_us=np.full(SERIES, NOW_US),
            features={"embedding": np.random.default_rng(0).normal(size=(SERIES, SIZE)).astype(np.float32)},
        )
    )
    sink.close()
    return feast


def sites(count: int) -> list[str]:
    """Return as many ids."""
    return [f"site-{number:05d}" for number in range(count)]


@contextmanager
def feature_server(repo: Path, folder: Path) -> Iterator[Ask]:
    """Start `feast serve` with one worker; return what asks it and reads its JSON."""
    port = free_port()
    command = [Path(sys.executable).with_name("feast"), "-c", repo, "serve", "-p", port, "--no-access-log"]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
    connection = HTTPConnection(LOCALHOST, port, timeout=SERVER_S)  # kept open, as a client of many questions does

    def ask(wanted: list[str]) -> np.ndarray:
        body = json.dumps({"feature_service": VIEW.name, "entities": {"site": wanted}}).encode()
        connection.request("POST", "/get-online-features", body, {"Content-Type": "application/json"})
        said = orjson.loads(connection.getresponse().read())
        place = said["metadata"]["feature_names"].index("embedding")
        return np.array(said["results"][place]["values"], np.float32)

    try:
        until = time.monotonic() + SERVER_S
        while True:
            try:
                connection.request("GET", "/health")
                connection.getresponse().read()
                break
            except OSError:
                connection.close()
                if time.monotonic() > until or server.poll() is not None:
                    raise
                time.sleep(0.2)
        yield ask
    finally:
        connection.close()
        server.terminate()
        server.wait()


def by_sdk(repo: Path) -> Ask:
    """Return what asks Feast's SDK, and makes of its answer what a model takes."""
    from feast import FeatureStore  # noqa: PLC0415 it takes seconds

    store = FeatureStore(str(repo))
    service = store.get_feature_service(VIEW.name)

    def ask(wanted: list[str]) -> np.ndarray:
        rows = [{"site": site} for site in wanted]
        found = store.get_online_features(features=service, entity_rows=rows).to_dict()
        return np.array(found["embedding"], np.float32)

    return ask


async def measure(ways: dict[str, Ask], times: dict[int, int]) -> dict[str, dict[int, float]]:
    """Return the median of milliseconds for each way and count; all ways take turns, and must give equal vectors."""
    taken: dict[str, dict[int, list[float]]] = {name: {count: [] for count in times} for name in ways}
    for count, rounds in times.items():
        wanted = sites(count)
        first = await answer(next(iter(ways.values())), wanted)
        for ask in ways.values():  # warms up too
            np.testing.assert_array_equal(await answer(ask, wanted), first)
        for _ in range(rounds):
            for name, ask in ways.items():
                began = time.perf_counter()
                await answer(ask, wanted)
                taken[name][count].append(1e3 * (time.perf_counter() - began))
    return {name: {count: statistics.median(ms) for count, ms in found.items()} for name, found in taken.items()}


async def answer(ask: Ask, wanted: list[str]) -> np.ndarray:
    """Ask, and wait where that is asyncio's."""
    found = ask(wanted)
    return await found if inspect.isawaitable(found) else found


def show(section: Section, found: dict[str, dict[int, float]]) -> None:
    """Print the medians, and how many times longer the others take."""
    counts = next(iter(found.values()))
    table = Table("median ms (times Reader's)", *(f"{count:,} series" for count in counts), box=box.MARKDOWN)
    ours = found["undertow.Reader"]
    for name, medians in found.items():
        cells = (f"{ms:,.2f} ({ms / ours[count]:.1f} x)" for count, ms in medians.items())
        table.add_row(name, *cells)
    section.console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    parser.add_argument("--quick", action="store_true", help="one round of few series: shows that it works")
    options = parser.parse_args(arguments)
    section = Section(lambda console: print_machine(console, "reader"), write=options.write)
    times = {1: 2, 100: 2} if options.quick else TIMES
    with tempfile.TemporaryDirectory() as made, section.part("reader"):
        folder = Path(made)
        (folder / "redis").mkdir()
        with started_redis(folder / "redis") as redis:
            repo = make_repo(folder, redis).repo
            with feature_server(repo, folder) as by_http:
                show(section, asyncio.run(compare(repo, by_http, times)))


async def compare(repo: Path, by_http: Ask, times: dict[int, int]) -> dict[str, dict[int, float]]:
    """Measure all ways in one process."""
    in_loop = undertow.AsyncReader(repo, name=VIEW.name)

    async def by_loop(wanted: list[str]) -> np.ndarray:
        return (await in_loop.get(wanted)).vectors

    with undertow.Reader(repo, name=VIEW.name) as reader:
        async with in_loop:
            ways: dict[str, Ask] = {
                "undertow.Reader": lambda wanted: reader.get(wanted).vectors,
                "undertow.AsyncReader": by_loop,
                "Feast's SDK, get_online_features": by_sdk(repo),
                "Feast's feature server, over HTTP": by_http,
            }
            return await measure(ways, times)


if __name__ == "__main__":
    main()

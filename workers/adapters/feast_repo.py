"""The Feast repository, seen from the driver: register a space, apply.

In: `FeastSettings` and `SpaceView`s. Out: files in the repository, Feast's registry, and `OnlineRecipe`, all that a
replica needs to know of Feast. Knows no online store: the reader of the recipe chooses the writer.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow.parquet as pq

from undertow.adapters.feast_apply import Request
from undertow.adapters.feast_bytes import KEY_VERSION
from undertow.adapters.feast_config import is_postgres, read_config
from undertow.adapters.feast_logins import require_registry
from undertow.adapters.feast_registry import series_of
from undertow.adapters.feast_store import config_path, environment, open_store, secrets_of
from undertow.adapters.offline_names import SEED
from undertow.core.durations import joinable
from undertow.core.errors import Refused, Unavailable
from undertow.core.identity import refuse_another
from undertow.core.masking import without
from undertow.core.private_files import make_folder
from undertow.core.publication import replace_file, replacing
from undertow.schemas.embeddings import offline_schema
from undertow.schemas.spaces import SpaceView
from undertow.settings.local_paths import require_local
from undertow.settings.sections import FeastSettings
from undertow.storage.store_path import AnyPath, StorePath

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_APPLY = "from undertow.adapters.feast_apply import main; main()"
_NOTHING: Mapping[str, bool] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRecipe:
    """What a replica needs to build its online sink: plain data, read once on the driver."""

    type: str
    """Feast's `online_store.type`."""
    options: Mapping[str, Any] = field(repr=False)
    """Feast's `online_store` section with its defaults, a path made absolute; it may hold a password."""
    project: str
    view: str
    """The view's name in the online store."""
    repo: Path
    """The repository's absolute folder, which relative paths in the config start from."""
    repo_config: Mapping[str, Any] = field(repr=False)
    """The whole Feast config, environment expanded."""
    definition: bytes = field(repr=False)
    """The view as Feast's FeatureView message."""
    replace_alien_keys: bool = False
    """Whether keys in Redis with foreign content may be deleted."""
    log: str = ""
    """The nonce of the offline log that the view was applied with; empty where an earlier version applied it."""
    searched: tuple[str, ...] = ()
    """Features whose vectors a store searches: those declared with an index, or the first where none is."""


def registered(repo: Path) -> dict[Path, dict[str, Any]]:
    """Return the views registered in this repository, by file."""
    return {path: json.loads(path.read_text("utf-8")) for path in sorted((repo / "spaces").glob("*.json"))}


def registered_views(repo: Path) -> tuple[dict[str, Any], ...]:
    """Return the registered views with an absolute `offline`: in the files it is relative to the repository."""
    return tuple({**data, "offline": _absolute(repo, data["offline"])} for data in registered(repo).values())


def register(
    repo: Path, view: SpaceView, offline: AnyPath, *, promote: bool = True, log: str = "", ttl_s: int | None = None
) -> Path:
    """Write the space's file, and seed its folder of Parquet parts; `apply` makes both known. Return the file.

    With `promote`, or where no space of this name is served yet, readers of the service `view.name` get this space.
    `ttl_s` is how long its vectors are valid in Feast's joins, 0 for ever; without it the view keeps the one it was
    registered with, else the one it was packed with.
    `log` is the nonce of the offline log that the folder lies in. Raises `Refused` where a view of this name, and of
    other ids or another space, is registered.
    """
    for name in (view.name, *(column.name for column in view.series), *(feature for feature, _ in view.features)):
        if not _NAME.fullmatch(name):
            message = f"Feast takes names of letters, digits and _, which begin with a letter; found {name!r}"
            raise Refused(message)
    path, known = repo / "spaces" / f"{view.view}.json", registered(repo)
    if path in known:
        refuse_another(view, SpaceView.from_json(known[path]), where=f"the Feast repository {repo}")
    _seed(view, offline)
    path.parent.mkdir(parents=True, exist_ok=True)
    served = {other: data for other, data in known.items() if data["name"] == view.name and data["promoted"]}
    promoted = promote or not served or path in served
    if promote:
        for other, data in served.items():
            if other != path:
                _write_json(other, {**data, "promoted": False})
    kept = known.get(path, {}).get("ttl_seconds")
    ttl = next((joinable(one) for one in (ttl_s, kept, view.ttl_seconds) if one is not None), None)
    is_relative = isinstance(offline, Path) and not offline.is_absolute()
    where = os.path.relpath(str(offline), repo) if is_relative else str(offline)
    _write_json(path, {**view.to_json(), "ttl_seconds": ttl, "offline": where, "log": log, "promoted": promoted})
    return path


def forget(repo: Path, views: Iterable[str]) -> None:
    """Delete the files of views that are no longer registered."""
    for view in views:
        (repo / "spaces" / f"{view}.json").unlink(missing_ok=True)


def apply(
    feast: FeastSettings, applied: Mapping[str, bool] = _NOTHING, *, pruned: Iterable[str] = ()
) -> tuple[str, ...]:
    """Register the repository's definitions, and return the names of all views registered then.

    Existing registrations, from here or elsewhere, are unchanged, except the views in `applied`, which are registered
    again, True where promoted for readers of their name, and those in `pruned`, which are deleted with their online
    vectors. Raises `Unavailable` where another process changed the registry at the same time.
    """
    config = config_path(feast)
    require_registry(feast)
    if is_postgres(read := read_config(config)):
        # An optional extra.
        from undertow.adapters.postgres_ready import make_ready  # noqa: PLC0415

        make_ready(read, applied)
    request = Request(repo=str(feast.repo.resolve()), config=str(config), applied={**applied}, pruned=tuple(pruned))
    done = subprocess.run(
        [sys.executable, "-c", _APPLY],
        input=request.to_text(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(feast),
        check=False,
    )
    if done.returncode:
        lines = [line for line in without(done.stdout, secrets_of(feast)).splitlines() if line.strip()]
        message = f"apply to Feast in {feast.repo} failed ({feast.config}):\n" + "\n".join(lines[-8:])
        raise Refused(message)
    names = tuple(sorted(view.name for view in open_store(feast).list_feature_views()))
    if lost := sorted(applied.keys() - set(names)):
        message = (
            f"{', '.join(lost)}: registered, and gone: another apply has written the registry of {config} at the same "
            "moment, where it cannot be locked; run undertow apply again"
        )
        raise Unavailable(message)
    return names


def online_recipe(feast: FeastSettings, wanted: SpaceView) -> OnlineRecipe:
    """Read everything that a replica must know to write the view online."""
    store = open_store(feast)
    config = store.config
    if config.online_store is None or config.entity_key_serialization_version != KEY_VERSION:
        message = f"{feast.config}: expected an online_store and entity_key_serialization_version: {KEY_VERSION}"
        raise Refused(message)
    from feast.errors import FeatureViewNotFoundException  # noqa: PLC0415 - see `open_store`
    from feast.infra.online_stores.helpers import compute_versioned_name  # noqa: PLC0415 - see `open_store`

    try:
        view = store.get_feature_view(wanted.view)
    except FeatureViewNotFoundException as error:
        message = f"Feast ({feast.repo / feast.config}) knows no view {wanted.view}; run: undertow apply"
        raise Refused(message) from error
    refuse_another(wanted, _as_applied(view, wanted), where=f"Feast ({feast.repo / feast.config})")
    options = config.online_store.model_dump(mode="json")
    repo = feast.repo.resolve()
    if path := options.get("path"):
        options["path"] = str(repo / _local(path, feast.config))
    return OnlineRecipe(
        type=options["type"],
        options=options,
        project=config.project,
        view=compute_versioned_name(view, config.registry.enable_online_feature_view_versioning),
        repo=repo,
        repo_config=read_config(config_path(feast)),
        definition=view.to_proto().SerializeToString(),
        replace_alien_keys=feast.replace_alien_keys,
        log=view.tags.get("log", ""),
        searched=tuple(one.name for one in view.features if one.vector_index) or (view.features[0].name,),
    )


def _local(path: str, config: str) -> str:
    try:
        return str(require_local(path))
    except ValueError as error:
        message = f"{config}: online_store.path: {error}"
        raise Refused(message) from None


def _as_applied(view: Any, wanted: SpaceView) -> SpaceView:
    """Return `wanted` with the space and the ids that Feast has for it."""
    return replace(wanted, series=series_of(view), space=view.tags.get("space", wanted.space))


def _absolute(repo: Path, offline: str) -> str:
    return offline if "://" in offline else os.path.normpath(repo.absolute() / offline)


def _seed(view: SpaceView, offline: AnyPath) -> None:
    if isinstance(offline, StorePath) or (offline / SEED).exists():  # stock Feast reads no store here
        return
    make_folder(offline)
    schema = offline_schema({c.name: c.type for c in view.series}, [feature for feature, _ in view.features])
    with replacing(offline / SEED) as temporary:
        pq.write_table(schema.empty_table(), temporary)


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    replace_file(path, f"{json.dumps(data, indent=2)}\n".encode())

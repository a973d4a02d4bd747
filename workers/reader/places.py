"""Where a reader's vectors are: by the address of Redis, a Feast repository or its YAML, or a project's TOML.

In: an address or a path. Out: a `ReaderPlace`. Knows neither Feast nor pydantic: both cost a service its start.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from undertow.adapters.feast_bytes import KEY_VERSION
from undertow.adapters.feast_config import read_config
from undertow.adapters.redis_address import in_feasts_words, is_url, read_connection
from undertow.core.errors import Refused, WrongUsage
from undertow.core.extras import require_packages
from undertow.core.toml_files import read_toml

CONFIG, TOML = "feature_store.yaml", "undertow.toml"
READ = ("redis", "sqlite", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderPlace:
    """An online store."""

    options: Mapping[str, Any] = field(repr=False)
    """Feast's `online_store` section, a path made absolute; it may hold a password."""
    project: str = ""
    """Feast's project; empty where it is to be found out."""
    name: str
    """What messages call it."""


def find_place(given: str | Path) -> ReaderPlace:
    """Return the store of an address, a folder or a file. Raises `Refused`."""
    path = Path(given)
    if isinstance(given, str) and (is_url(given) or _is_connection(given, path)):
        servers, _ = read_connection(given)
        host, port = servers[0]
        options = {"type": "redis", "connection_string": in_feasts_words(given)}
        return ReaderPlace(options=options, name=f"Redis at {host}:{port}")
    if path.is_dir():
        config, toml = path / CONFIG, path / TOML
        return _of_config(config) if config.is_file() or not toml.is_file() else _of_toml(toml)
    return _of_toml(path) if path.suffix == ".toml" else _of_config(path)


def _is_connection(given: str, path: Path) -> bool:
    """Whether this is Feast's own form of an address, `host:port,option=value,...`."""
    return not path.exists() and ":" in given.partition(",")[0] and os.sep not in given.partition(",")[0]


def _of_toml(path: Path) -> ReaderPlace:
    section = read_toml(path).get("feast", {})
    if not isinstance(section, dict):
        message = f"{path}: expected a table [feast]"
        raise Refused(message)
    repo = os.environ.get("UNDERTOW_FEAST__REPO") or section.get("repo", "feature_repo")
    config = os.environ.get("UNDERTOW_FEAST__CONFIG") or section.get("config", CONFIG)
    return _of_config(path.absolute().parent / str(repo) / str(config))


def _of_config(path: Path) -> ReaderPlace:
    config = read_config(path.absolute())
    store, version = config.get("online_store"), config.get("entity_key_serialization_version")
    if not isinstance(store, dict) or version != KEY_VERSION or "project" not in config:
        message = f"{path}: expected a project, an online_store and entity_key_serialization_version: {KEY_VERSION}"
        raise Refused(message)
    kind = store.get("type")
    if kind not in READ:
        message = (
            f"{path}: undertow.Reader reads from {', '.join(READ)}, and online_store.type is {kind!r}: read it by "
            "Feast's own get_online_features"
        )
        raise WrongUsage(message)
    if kind == "postgres":
        require_packages("reading from Postgres", ["psycopg"], ["postgres"])
    options = dict(store)
    if kind == "sqlite":
        options["path"] = str(path.absolute().parent / str(store.get("path", "data/online.db")))
    return ReaderPlace(options=options, project=str(config["project"]), name=f"the online store of {path}")

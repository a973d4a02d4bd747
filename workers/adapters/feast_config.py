"""Read Feast's YAML without Feast.

In: the path of a config. Out: its content, environment variables expanded. Knows no settings.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from undertow.adapters.redis_address import in_feasts_words, read_connection
from undertow.core.errors import Refused
from undertow.core.extras import require_extras

VARIABLE = re.compile(r"\$\{(\w+)\}")


def read_config(path: Path) -> dict[str, Any]:
    """Read a Feast config as Feast does, but raise `Refused` for an unset variable instead of keeping its name.

    A Redis address given as a URL is converted to Feast's format. Raises `Refused` for one that Redis, or redis-py,
    would not accept.
    """
    config = load_config(path)
    if redis := redis_of(config):
        read_connection(redis)
        config["online_store"]["connection_string"] = in_feasts_words(redis)
    return config


def redis_of(config: Mapping[str, Any]) -> str:
    """Return the address of Redis where the vectors are there, else nothing."""
    store = config.get("online_store")
    return str(store.get("connection_string") or "") if isinstance(store, dict) and store.get("type") == "redis" else ""


def is_postgres(config: Mapping[str, Any]) -> bool:
    """Whether the vectors are in Postgres. Raises `Refused` where they are, and its packages are not installed."""
    store = config.get("online_store")
    is_there = isinstance(store, dict) and store.get("type") == "postgres"
    if is_there:
        require_extras("an online store of type postgres", "postgres")
    return is_there


def load_config(path: Path) -> dict[str, Any]:
    """Read the config as it stands, its variables put in."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        message = f"expected a Feast config at {path}: {error.strerror} (settings feast.repo and feast.config)"
        raise Refused(message) from error
    for variable in VARIABLE.findall(text):
        if variable not in os.environ:
            message = f"{path.name} uses the environment variable {variable}, which is not set"
            raise Refused(message)
    try:
        config = yaml.safe_load(os.path.expandvars(text))
    except yaml.MarkedYAMLError as error:  # it shows the line, and the line may hold a password
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        message = f"{path.name} is no YAML once its variables are put in: line {line}: {error.problem}"
        raise Refused(message) from None
    if not isinstance(config, dict):
        message = f"{path.name}: expected a Feast config, keys with values"
        raise Refused(message)
    return config

"""Open Feast's configuration and its `FeatureStore`.

In: `FeastSettings`. Out: the configuration with environment variables expanded, and the store. Knows no view.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from undertow.adapters.redis_address import bounded, in_feasts_words, read_connection
from undertow.adapters.redis_address import secrets_of as secrets_of_redis
from undertow.adapters.redis_faults import require_files
from undertow.core.errors import Refused
from undertow.core.masking import secrets_in, without
from undertow.settings.sections import FeastSettings

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def open_store(feast: FeastSettings) -> Any:
    """Open Feast. Its import costs 4 s and 400 MB, so only commands that read the registry do, never a replica."""
    from feast import FeatureStore  # noqa: PLC0415 - see above
    from feast.errors import FeastError  # noqa: PLC0415 - see above

    config = config_path(feast)
    redis = _redis(read_config(config))  # in Feast's words
    if redis:
        require_files(read_connection(redis)[1])  # OpenSSL would prompt for the password of an encrypted key
    try:
        store = FeatureStore(repo_path=str(feast.repo.resolve()), fs_yaml_file=config)
    except (ValueError, FeastError) as error:  # pydantic's show what they were given
        said = " ".join(without(str(error), secrets_of(feast)).split())
        message = f"Feast does not take {config}: {said}"
        raise Refused(message) from None
    if redis:
        store.config.online_store.connection_string = bounded(redis)
    return store


def secrets_of(feast: FeastSettings) -> list[str]:
    """Return the secrets that no text about this configuration may show."""
    path = config_path(feast)
    return [*secrets_in(read_config(path)), *(secrets_of_redis(redis) if (redis := _redis(_load(path))) else ())]


def environment(feast: FeastSettings) -> dict[str, str]:
    """Return the environment with which Feast's own processes read this configuration as we do."""
    path = config_path(feast)
    redis, variables = _redis(_load(path)), _VARIABLE.findall(path.read_text("utf-8"))
    words = {name: bounded(in_feasts_words(redis)) for name in variables if redis and os.environ[name] == redis}
    return {**os.environ, **words}


def config_path(feast: FeastSettings) -> Path:
    """Return the absolute path of the configuration in force."""
    return (feast.repo / feast.config).resolve()


def read_config(path: Path) -> dict[str, Any]:
    """Read a Feast config as Feast does, but raise `Refused` for an unset variable instead of keeping its name.

    A Redis address given as a URL is converted to Feast's format. Raises `Refused` for one that Redis, or redis-py,
    would not accept.
    """
    config = _load(path)
    if redis := _redis(config):
        read_connection(redis)
        config["online_store"]["connection_string"] = in_feasts_words(redis)
    return config


def _redis(config: Mapping[str, Any]) -> str:
    """Return the address of Redis where the vectors are there, else nothing."""
    store = config.get("online_store")
    return str(store.get("connection_string") or "") if isinstance(store, dict) and store.get("type") == "redis" else ""


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        message = f"expected a Feast config at {path}: {error.strerror} (settings feast.repo and feast.config)"
        raise Refused(message) from error
    for variable in _VARIABLE.findall(text):
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

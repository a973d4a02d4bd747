"""Open Feast's `FeatureStore`, and give its own processes the environment that it needs.

In: `FeastSettings`. Out: the store. Knows no view; `feast_config` reads the configuration.
"""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from undertow.adapters.feast_config import VARIABLE, load_config, read_config, redis_of
from undertow.adapters.redis_address import bounded, in_feasts_words, read_connection
from undertow.adapters.redis_address import secrets_of as secrets_of_redis
from undertow.adapters.redis_faults import require_files
from undertow.core.errors import Refused
from undertow.core.masking import secrets_in, without
from undertow.settings.sections import FeastSettings

STORE_PACKAGES = {"s3": ("boto3", "aws"), "gs": ("google.cloud.storage", "gcp")}
"""By the scheme of a registry's address: what Feast reads it with, and Feast's own extra that brings it."""


def open_store(feast: FeastSettings) -> Any:
    """Open Feast. Its import costs 4 s and 400 MB, so only commands that read the registry do, never a replica."""
    from feast import FeatureStore  # noqa: PLC0415 - see above
    from feast.errors import FeastError  # noqa: PLC0415 - see above

    config = config_path(feast)
    require_registry(feast)
    redis = redis_of(read_config(config))  # in Feast's words
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


def require_registry(feast: FeastSettings) -> None:
    """Raise `Refused` where the registry lies in an object store, and what Feast reads it with is not installed."""
    registry = load_config(config_path(feast)).get("registry")
    address = registry.get("path") if isinstance(registry, Mapping) else registry
    scheme = str(address).partition("://")[0]
    package, extra = STORE_PACKAGES.get(scheme, ("", ""))
    if package and not _is_installed(package):
        message = (
            f"Feast's registry ({feast.repo / feast.config}) is at {scheme}://...: expected the package {package}, by "
            f"which Feast reads it, found it not installed: pip install 'feast[{extra}]'"
        )
        raise Refused(message)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # a part of what its name begins with is missing
        return False


def secrets_of(feast: FeastSettings) -> list[str]:
    """Return the secrets that no text about this configuration may show."""
    path = config_path(feast)
    redis = redis_of(load_config(path))
    return [*secrets_in(read_config(path)), *(secrets_of_redis(redis) if redis else ())]


def environment(feast: FeastSettings) -> dict[str, str]:
    """Return the environment with which Feast's own processes read this configuration as we do."""
    path = config_path(feast)
    redis, variables = redis_of(load_config(path)), VARIABLE.findall(path.read_text("utf-8"))
    words = {name: bounded(in_feasts_words(redis)) for name in variables if redis and os.environ[name] == redis}
    return {**os.environ, **words}


def config_path(feast: FeastSettings) -> Path:
    """Return the absolute path of the configuration in force."""
    return (feast.repo / feast.config).resolve()

"""Open Feast's `FeatureStore`, and give its own processes the environment that it needs.

In: `FeastSettings`. Out: the store. Knows no view; `feast_config` reads the configuration.
"""

import os
import textwrap
from pathlib import Path
from typing import Any

from undertow.adapters.feast_config import VARIABLE, is_postgres, load_config, read_config, redis_of
from undertow.adapters.feast_logins import STORE_PACKAGES, logged_in, registry_scheme, require_registry, variables
from undertow.adapters.redis_address import bounded, in_feasts_words, read_connection
from undertow.adapters.redis_address import secrets_of as secrets_of_redis
from undertow.adapters.redis_faults import require_files
from undertow.core.errors import Refused, Unavailable
from undertow.core.masking import secrets_in, without
from undertow.settings.sections import FeastSettings


def open_store(feast: FeastSettings) -> Any:
    """Open Feast. Its import costs 4 s and 400 MB, so only commands that read the registry do, never a replica.

    Raises `Refused` for a configuration that Feast does not take, `Unavailable` where a registry in an object store
    cannot be read.
    """
    from feast import FeatureStore  # noqa: PLC0415 - see above
    from feast.errors import FeastError  # noqa: PLC0415 - see above

    config = config_path(feast)
    require_registry(feast)
    read = read_config(config)
    is_postgres(read)
    redis = redis_of(read)  # in Feast's words
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
    if registry_scheme(feast) in STORE_PACKAGES:
        _read_registry(feast, store)
    return store


def _read_registry(feast: FeastSettings, store: Any) -> None:
    with logged_in(feast):
        try:
            store.registry  # noqa: B018  Feast makes its client now, with the login of this moment
        except Exception as error:  # noqa: BLE001  each vendor's client has errors of its own
            said = textwrap.shorten(without(str(error), secrets_of(feast)), 200)
            message = (
                f"Feast's registry ({feast.repo / feast.config}) cannot be read: {type(error).__name__}: {said}; see "
                "the section store of the settings"
            )
            raise Unavailable(message) from None


def secrets_of(feast: FeastSettings) -> list[str]:
    """Return the secrets that no text about this configuration may show."""
    path = config_path(feast)
    redis = redis_of(load_config(path))
    store = feast.store.options().secrets() if registry_scheme(feast) == "s3" else ()
    return [*secrets_in(read_config(path)), *(secrets_of_redis(redis) if redis else ()), *store]


def environment(feast: FeastSettings) -> dict[str, str]:
    """Return the environment with which Feast's own processes read this configuration as we do."""
    path = config_path(feast)
    redis, named = redis_of(load_config(path)), VARIABLE.findall(path.read_text("utf-8"))
    words = {name: bounded(in_feasts_words(redis)) for name in named if redis and os.environ[name] == redis}
    return {**os.environ, **words, **variables(feast)}


def config_path(feast: FeastSettings) -> Path:
    """Return the absolute path of the configuration in force."""
    return (feast.repo / feast.config).resolve()

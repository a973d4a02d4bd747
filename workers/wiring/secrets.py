"""The secrets that a process knows, as the mask of its logs, its status and its errors.

In: a recipe, or the settings there are. Out: a `SecretMask`. Knows no log. Nothing is kept anywhere else: who writes
texts is given the mask.
"""

import os
from collections.abc import Iterator, Mapping
from functools import partial

from undertow.adapters.feast_repo import OnlineRecipe
from undertow.adapters.feast_store import secrets_of
from undertow.adapters.redis_address import secrets_of as secrets_of_redis
from undertow.core.masking import secrets_in
from undertow.core.secret_mask import SecretMask
from undertow.settings.settings import PREFIX, load
from undertow.wiring.root import StreamRecipe


def mask_of_fleet(recipe: StreamRecipe) -> SecretMask:
    """Return the mask of a replica, or of a controller."""
    online = [one.online for one in recipe.artifacts]
    return SecretMask(
        recipe.kafka.secrets,
        *(partial(_in_config, one) for one in online),
        *(partial(_in_connection, one) for one in online),
        partial(_in_headers, recipe.tell.otel),
    )


def mask_of_command() -> SecretMask:
    """Return the mask of a command, from the settings in force; no flag holds a secret."""
    return SecretMask(_in_environment, _in_broker_settings, _in_feast)


def _in_config(online: OnlineRecipe) -> Iterator[str]:
    yield from secrets_in(online.repo_config)
    yield from secrets_in(online.options)


def _in_connection(online: OnlineRecipe) -> Iterator[str]:
    if online.type == "redis":
        yield from secrets_of_redis(str(online.options.get("connection_string") or ""))


def _in_headers(otel: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of the headers for a collector, `authorization=Bearer%20abc,...`."""
    for name, value in otel.items():
        if name.endswith("_HEADERS"):
            for header in value.split(","):
                secret = header.partition("=")[2].strip()
                yield secret
                yield secret.replace("%20", " ").rpartition(" ")[2]


def _in_environment() -> Iterator[str]:
    yield from secrets_in({name: value for name, value in os.environ.items() if name.startswith(PREFIX)})
    yield from _in_headers(os.environ)


def _in_broker_settings() -> Iterator[str]:
    yield from load().kafka.secrets()


def _in_feast() -> Iterator[str]:
    yield from secrets_of(load().feast)

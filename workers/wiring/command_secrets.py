"""The secrets that a command knows, as the mask of its errors: asked for when it fails, whatever is installed.

In: the environment, `undertow.toml`, the files that they name. Out: a `SecretMask`. Knows no command and no flag, since
no flag may hold a secret.
"""

import os
from collections.abc import Iterator, Mapping

from undertow.core.masking import secrets_in
from undertow.core.secret_mask import SecretMask
from undertow.settings.settings import PREFIX, load


def mask_of_command() -> SecretMask:
    """Return the mask of a command, by the settings in force."""
    return SecretMask(_in_environment, _in_broker_settings, _in_store_settings, _in_feast_config)


def secrets_in_headers(otel: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of the headers for a collector, `authorization=Bearer%20abc,...`."""
    for name, value in otel.items():
        if name.endswith("_HEADERS"):
            for header in value.split(","):
                secret = header.partition("=")[2].strip()
                yield secret
                yield secret.replace("%20", " ").rpartition(" ")[2]


def _in_environment() -> Iterator[str]:
    yield from secrets_in({name: value for name, value in os.environ.items() if name.startswith(PREFIX)})
    yield from secrets_in_headers({name: value for name, value in os.environ.items() if name.startswith("OTEL_")})


def _in_broker_settings() -> Iterator[str]:
    yield from load().kafka.secrets()


def _in_store_settings() -> Iterator[str]:
    yield from load().store.options().secrets()


def _in_feast_config() -> Iterator[str]:
    # An optional extra: without it no command reads Feast's config.
    from undertow.adapters.feast_store import secrets_of  # noqa: PLC0415

    yield from secrets_of(load().feast)

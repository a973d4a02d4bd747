"""Common parts of our Kafka clients: their options, and the translation of kafka-python's errors.

In: settings, a client class, an error of kafka-python. Out: options that the class accepts, our errors. Knows neither
topics nor windows.
"""

import difflib
from importlib.util import find_spec
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    InvalidConfigurationError,
    InvalidGroupIdError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    KafkaError,
    PolicyViolationError,
    UnsupportedVersionError,
)

from undertow.adapters.kafka_login import IN_VAIN, FileTokens, Login, LoginRefused
from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.core.masking import without
from undertow.settings.sections import KafkaSettings

FIRST_CONTACT_MS = 5_000
RECONNECT_MS = 1_000
"""kafka-python's default is a reconnect backoff of up to 30 s after a broker was down."""


_BY_THE_BROKER = (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    PolicyViolationError,
)
LASTING = (*IN_VAIN, *_BY_THE_BROKER, InvalidGroupIdError, InvalidTopicError, UnsupportedVersionError)
"""Permanent errors: a retry gets the same answer."""


def require_native_crc() -> None:
    """Raise `Refused` without the native checksum: reading would be seven times slower, without a warning."""
    if find_spec("crc32c") is None:
        message = (
            "reading from Kafka needs the native crc32c package, which is not installed: "
            "pip install 'kafka-python[crc32c]'"
        )
        raise Refused(message)


def client_options(settings: KafkaSettings, client: Any, *, login: Login | None = None, **ours: Any) -> dict[str, Any]:
    """Return the user's options that this client class accepts, and ours. Raises `Refused` for one that none accepts.

    The outcome of each login is recorded in `login`.
    """
    options = settings.client_options()
    if settings.oauth_token_file is not None:
        options["sasl_oauth_token_provider"] = FileTokens(settings.oauth_token_file)
    known = set().union(*(taker.DEFAULT_CONFIG for taker in (KafkaConsumer, KafkaProducer, KafkaAdminClient)))
    if unknown := sorted(options.keys() - known):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        message = (
            f"kafka.extra: kafka-python has no option {', '.join(unknown)}"
            f"{f' (did you mean {close[0]}?)' if close else ''}; those that it has are listed by "
            "python -m pydoc kafka.KafkaConsumer, kafka.KafkaProducer and kafka.KafkaAdminClient"
        )
        raise Refused(message)
    taken = {name: value for name, value in options.items() if name in client.DEFAULT_CONFIG}
    defaults = {
        "bootstrap_timeout_ms": FIRST_CONTACT_MS,
        "reconnect_backoff_max_ms": RECONNECT_MS,
        "kafka_client": (login or Login()).client,
    }
    return {**defaults, **taken, **ours}


def translate_error(error: KafkaError, doing: str, settings: KafkaSettings) -> UndertowError:
    """Translate an error: `Refused` where it is permanent, else `Unavailable`. Shows no password."""
    if isinstance(error, CommitFailedError):
        return Refused(live_group_message(settings))
    said = without(str(error) or type(error).__name__, settings.secrets())
    if isinstance(error, LoginRefused):
        return Refused(f"Kafka at {settings.bootstrap} (kafka.bootstrap): {said}")
    if isinstance(error, LASTING):
        return Refused(f"Kafka at {settings.bootstrap} refused to {doing}: {said} (settings: {_settings_of(error)})")
    return Unavailable(f"Kafka at {settings.bootstrap} (kafka.bootstrap) did not {doing}: {said}")


def live_group_message(settings: KafkaSettings, members: str = "") -> str:
    """Return the message that a consumer group with members cannot take our offsets."""
    return (
        f'the consumer group "{settings.group}" (kafka.group) has live members{members}, but Kafka takes our offsets '
        "only for a group that nobody is subscribed to: stop them, or choose another group"
    )


def _settings_of(error: KafkaError) -> str:
    if "Sasl" in type(error).__name__:
        return "kafka.sasl_mechanism, kafka.username, kafka.password, kafka.oauth_token_file"
    if isinstance(error, InvalidTopicError):
        return "kafka.topic, kafka.dead_letters"
    if isinstance(error, InvalidGroupIdError):
        return "kafka.group"
    if isinstance(error, AuthorizationError):
        return "kafka.username, kafka.cert_file: whom the broker lets do that"
    if isinstance(error, _BY_THE_BROKER):
        return "those of the broker at kafka.bootstrap: ask who runs it, or make the topic yourself"
    return "kafka.extra"

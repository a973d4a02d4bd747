"""A client of a Confluent schema registry: schemas by the ids in records.

In: settings. Out: checked schemas, each requested once; the id of our own schema. Knows no records.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.core.masking import secrets_in, without
from undertow.schemas.avro_schemas import AvroSchema, read_schema
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Clock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # authlib, which the client imports, warns of its own next release
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

TIMEOUT_S = 5.0
FORGET_S = 60.0
"""How long an unknown id is remembered before it is requested again, so that bad records cannot flood the registry."""
MOST_UNKNOWN = 10_000
_NOT_FOUND = 404
_OVERLOADED = frozenset({408, 429})
_SERVER_FAULT = 500


class SchemaRegistry:
    """The registry, for one topic. The schema of an id never changes, so it is cached for ever."""

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock = time.monotonic,
        *,
        read: Callable[[str], AvroSchema] = read_schema,
    ) -> None:
        """`read` parses and checks a schema, and raises `ValueError`; without it, those of windows."""
        self._settings, self._clock, self._read = settings, clock, read
        self._known: dict[int, AvroSchema | str] = {}
        self._unknown: dict[int, float] = {}
        options = {"timeout": TIMEOUT_S, "max.retries": 0, **settings.registry_options()}
        self._secrets = [*secrets_in(options)]
        try:
            self._client: Any = SchemaRegistryClient(options)
        except (ValueError, TypeError, OSError) as error:
            said = without(str(error), self._secrets)
            message = f"the schema registry's client does not take kafka.registry and kafka.registry_extra: {said}"
            raise Refused(message) from None

    def schema_of(self, schema_id: int) -> AvroSchema | str:
        """Return a schema, or why records cannot be read by it. Raises `Unavailable`, or `Refused` without access."""
        if schema_id in self._known:
            return self._known[schema_id]
        if self._clock() >= self._unknown.get(schema_id, float("-inf")):
            try:
                self._known[schema_id] = _readable(self._client.get_schema(schema_id), self._read)
            except Exception as error:  # the client passes on whatever its HTTP library raises
                if getattr(error, "http_status_code", 0) != _NOT_FOUND:
                    raise self._in_our_words(error) from error
            else:
                return self._known[schema_id]
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = self._clock() + FORGET_S
        return f"the registry {self._settings.registry} (kafka.registry) has no such schema"

    def register(self, text: str) -> int:
        """Return the id of a schema of ours under the topic's subject. Raises `Unavailable` or `Refused`."""
        try:
            subject = f"{self._settings.topic}-value"
            return int(self._client.register_schema(subject, Schema(text, "AVRO")))
        except Exception as error:
            raise self._in_our_words(error) from error

    def count_subjects(self) -> int:
        """Return the number of subjects, which shows whether the registry answers."""
        try:
            return len(self._client.get_subjects())
        except Exception as error:
            raise self._in_our_words(error) from error

    def _in_our_words(self, error: Exception) -> UndertowError:
        where = f"the schema registry {self._settings.registry} (kafka.registry)"
        if isinstance(error, SchemaRegistryError):
            status = error.http_status_code
            if status < _SERVER_FAULT and status not in _OVERLOADED:
                said = without(str(error.error_message), self._secrets)
                return Refused(f"{where} refused us with {status}: {said}; see kafka.registry_credentials")
        return Unavailable(f"{where} did not answer: {type(error).__name__}: {without(str(error), self._secrets)}")


def _readable(schema: Any, read: Callable[[str], AvroSchema]) -> AvroSchema | str:
    if schema.schema_type != "AVRO" or schema.references:
        return f"expected an Avro schema without references, found {schema.schema_type} with {schema.references or 0}"
    try:
        return read(schema.schema_str)
    except ValueError as error:
        return str(error)

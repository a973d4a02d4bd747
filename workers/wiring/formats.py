"""The wire formats, chosen by `kafka.format`.

In: settings and an input contract. Out: the decoder and the encoder of the format. Knows no model and no stream.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from undertow.core.extras import require_packages
from undertow.schemas.arrow_codec import decode_arrow, encode_arrow
from undertow.schemas.contract import InputContract
from undertow.schemas.decoded import Decode, Decoded
from undertow.schemas.event_times import hold_records
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import Record
from undertow.schemas.windows import WindowBatch
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Clock

Encode = Callable[[WindowBatch], list[bytes]]
"""A function that returns record values: one for each window, or with Arrow one for the whole batch."""


def require_format(settings: KafkaSettings) -> None:
    """Raise `Refused` if the packages that a format needs are not installed."""
    needed = {"avro": ("fastavro",), "avro-confluent": ("fastavro", "confluent_kafka", "authlib")}
    require_packages(f"kafka.format = {settings.format}", needed.get(settings.format, ()), ["avro"])


def check_format(settings: KafkaSettings) -> str:
    """Return the format in words. Raises `Refused` without its packages, `Unavailable` without the registry."""
    require_format(settings)
    if settings.format != "avro-confluent":
        return settings.format
    from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra

    return f"{settings.format}, registry with {SchemaRegistry(settings).count_subjects()} subjects"


def open_decode(settings: KafkaSettings, contract: InputContract, clock: Clock = time.time) -> Decode:
    """Return the decoder of a topic's records, which rejects event times implausible at the time by `clock`.

    `clock` gives seconds since the epoch.
    """
    require_format(settings)
    decode = _open_codec(settings, contract)

    def decode_and_hold(records: Sequence[Record]) -> Decoded:
        return hold_records(decode(records), records, settings.event_time.at(clock()))

    return decode_and_hold


def _open_codec(settings: KafkaSettings, contract: InputContract) -> Decode:
    most = settings.max_record_bytes
    match settings.format:  # a format without a case is an error of the type checker
        case "json":
            return partial(decode_json, contract=contract, max_record_bytes=most)
        case "arrow":
            return partial(decode_arrow, contract=contract, max_record_bytes=most)
        case "avro":
            from undertow.schemas.avro_codec import decode_avro  # noqa: PLC0415  # an extra

            return partial(decode_avro, contract=contract, max_record_bytes=most)
        case "avro-confluent":
            from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra
            from undertow.schemas.avro_codec import decode_confluent  # noqa: PLC0415  # an extra

            schema_of = SchemaRegistry(settings).schema_of
            return partial(decode_confluent, contract=contract, max_record_bytes=most, schema_of=schema_of)


def open_encode(settings: KafkaSettings, contract: InputContract) -> Encode:
    """Return the encoder of a topic's records; for a registry's format it registers the schema first."""
    require_format(settings)
    match settings.format:
        case "json":
            return encode_json
        case "arrow":
            return lambda windows: [encode_arrow(windows, contract)]
        case "avro":
            from undertow.schemas.avro_codec import encode_avro  # noqa: PLC0415  # an extra

            return encode_avro
        case "avro-confluent":
            from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra
            from undertow.schemas.avro_codec import encode_avro  # noqa: PLC0415  # an extra
            from undertow.schemas.avro_schemas import window_schema_text  # noqa: PLC0415  # an extra

            return partial(encode_avro, schema_id=SchemaRegistry(settings).register(window_schema_text()))

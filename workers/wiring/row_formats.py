"""The wire formats of rows, observations among them, chosen by `kafka.format`.

In: settings, the columns of the rows. Out: what reads records of them. Knows no stream.
"""

from collections.abc import Collection, Sequence
from functools import partial

from undertow.observations.read import TableForm
from undertow.observations.record_arrow import arrow_reader
from undertow.observations.record_json import json_reader
from undertow.observations.record_rows import ReadRows
from undertow.settings.sections import KafkaSettings
from undertow.wiring.formats import require_format


def open_reader(
    kafka: KafkaSettings, form: TableForm, some_of: Sequence[str], *, optional: Collection[str] = ()
) -> ReadRows:
    """Return what reads records of these columns. A row must have one of `some_of`, and may lack those `optional`.

    Raises `Refused` without the packages of the format.
    """
    require_format(kafka)
    most = kafka.max_record_bytes
    match kafka.format:  # a format without a case is an error of the type checker
        case "json":
            return json_reader(form, some_of=some_of, max_record_bytes=most)
        case "arrow":
            return arrow_reader(form, max_record_bytes=most, optional=optional)
        case "avro":
            from undertow.observations.record_avro import avro_reader  # noqa: PLC0415  # an extra

            return avro_reader(form, some_of=some_of, max_record_bytes=most)
        case "avro-confluent":
            from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra
            from undertow.observations.record_avro import confluent_reader  # noqa: PLC0415  # an extra
            from undertow.schemas.avro_schemas import read_row_schema  # noqa: PLC0415  # an extra

            registry = SchemaRegistry(kafka, read=partial(read_row_schema, time=form.time))
            return confluent_reader(form, some_of=some_of, max_record_bytes=most, schema_of=registry.schema_of)

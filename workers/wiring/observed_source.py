"""The source of a stream, by what records hold (`kafka.content`): windows, or observations of which windows are made.

In: sections of the settings, an input contract. Out: a `Source`, and what it holds of observations. Knows no stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.offline_root import view_folder
from undertow.adapters.window_forgetting import FileForgetRequests
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.errors import Refused
from undertow.observations.held_snapshot import fingerprint
from undertow.observations.plan import WindowPlan, make_plan
from undertow.observations.record_arrow import arrow_reader, encode_rows
from undertow.observations.record_json import json_reader
from undertow.observations.record_rows import ReadRows
from undertow.observations.streamed import StreamedSeries
from undertow.observations.streamed_records import StreamedRecords, read_form
from undertow.schemas.contract import InputContract
from undertow.schemas.decoded import Decode, Decoded
from undertow.schemas.records import Record
from undertow.schemas.wording import between
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings
from undertow.stream.events import Astray, Listener, WindowsLeftOut
from undertow.stream.observing import ObservingSource
from undertow.stream.ports import Observed, Source
from undertow.wiring.formats import open_decode, require_format

if TYPE_CHECKING:  # it brings Feast's bytes, which `produce` does without
    from undertow.wiring.recipes import EmbedRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecipe:
    """What a source needs beside an artifact: plain data."""

    kafka: KafkaSettings
    windows: WindowsSettings
    topic_id: str
    cluster_id: str


def describe_content(settings: Settings, contract: InputContract) -> str:
    """Return in words what is made of records for a model. Raises `Refused` where nothing can be."""
    kafka, windows = settings.kafka, settings.windows
    if kafka.content == "windows":
        return "windows"
    if not settings.offline.enabled:
        message = (
            "kafka.content = observations needs the offline log (offline.enabled = true): beside it is written what "
            "replicas hold, and it says for which observations windows have been made"
        )
        raise Refused(message)
    known, static = side_tables(windows)
    plan = _plan(windows, contract, known, static)
    StreamedSeries(plan, known, static)  # refuses side tables that do not fit
    steps = between(plan.min_length, plan.max_length, "step")
    return f"observations, windows of {steps} every {plan.spec.every}, lateness {plan.spec.lateness}"


def side_tables(windows: WindowsSettings) -> tuple[pa.Table | None, pa.Table | None]:
    """Return the tables of what is known ahead, and of statics. Raises `Refused`."""
    known, static = (None if path is None else _read(path) for path in (windows.known, windows.static))
    return known, static


def open_source(
    recipe: SourceRecipe, embed: "EmbedRecipe", tell: Listener, give_up: Callable[[], bool]
) -> tuple[Source, Callable[[], Observed]]:
    """Connect to the topic; return the source, and what tells what it holds of observations."""
    kafka, view, contract = recipe.kafka, embed.manifest.view(), embed.manifest.contract
    if kafka.content == "windows":
        decode = open_decode(kafka, contract)
        return KafkaSource(kafka, decode, view=view.view, topic_id=recipe.topic_id), Observed
    known, static = side_tables(recipe.windows)
    plan = _plan(recipe.windows, contract, known, static)
    held = StreamedSeries(plan, known, static, held_path=recipe.windows.held_path)
    records = open_records(kafka, held, tell)
    home = view_folder(embed.offline.path if embed.log is None else embed.log.root, view)
    source = ObservingSource(
        KafkaSource(kafka, records.decode, view=view.view, topic_id=recipe.topic_id),
        records,
        WindowSnapshots(home),
        FileForgetRequests(home),
        identity=f"{fingerprint(plan)}.{recipe.cluster_id}.{recipe.topic_id}",
        snapshot_seconds=embed.offline.snapshot_seconds,
        tell=tell,
        give_up=give_up,
    )
    return source, lambda: source.observed


def open_alone(settings: Settings, contract: InputContract) -> Decode:
    """Return the decoder by which a record is judged by itself: of observations nothing is remembered."""
    if settings.kafka.content == "windows":
        return open_decode(settings.kafka, contract)
    known, static = side_tables(settings.windows)
    plan, times_at = _plan(settings.windows, contract, known, static), settings.kafka.event_time.at
    read = _open_reader(settings.kafka, StreamedSeries(plan, known, static))  # once: it may ask a registry

    def decode(records: Sequence[Record]) -> Decoded:
        return StreamedRecords(StreamedSeries(plan, known, static), read, times_at=times_at).decode(records)

    return decode


def open_records(kafka: KafkaSettings, series: StreamedSeries, tell: Listener) -> StreamedRecords:
    """Return the decoder of records of observations."""

    def told(what: str, count: int, why: str) -> None:
        tell(Astray(example=why) if what == "astray" else WindowsLeftOut(windows=count, reason=why))

    read = _open_reader(kafka, series)
    return StreamedRecords(series, read, times_at=kafka.event_time.at, told=told)


def _open_reader(kafka: KafkaSettings, series: StreamedSeries) -> ReadRows:
    require_format(kafka)
    plan, form, most = series.plan, read_form(series), kafka.max_record_bytes
    match kafka.format:  # a format without a case is an error of the type checker
        case "json":
            return json_reader(plan, form, max_record_bytes=most)
        case "arrow":
            return arrow_reader(form, max_record_bytes=most)
        case "avro":
            from undertow.observations.record_avro import avro_reader  # noqa: PLC0415  # an extra

            return avro_reader(plan, form, max_record_bytes=most)
        case "avro-confluent":
            from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra
            from undertow.observations.record_avro import confluent_reader  # noqa: PLC0415  # an extra
            from undertow.schemas.avro_schemas import read_row_schema  # noqa: PLC0415  # an extra

            registry = SchemaRegistry(kafka, read=partial(read_row_schema, time=form.time))
            return confluent_reader(plan, form, max_record_bytes=most, schema_of=registry.schema_of)


def open_row_encode(settings: Settings, contract: InputContract) -> Callable[[pa.Table], list[bytes]]:
    """Return what makes records of a table of observations, one of each, with Arrow one of all.

    For a registry's format it registers the schema first. Raises `Refused`, `Unavailable`.
    """
    kafka = settings.kafka
    require_format(kafka)
    if kafka.format == "json":
        return lambda rows: [orjson.dumps(row) for row in rows.to_pylist()]
    if kafka.format == "arrow":
        return lambda rows: [encode_rows(rows)]
    from undertow.observations.record_avro import avro_row_encoder, row_schema_text  # noqa: PLC0415  # an extra

    known, static = side_tables(settings.windows)
    form, schema_id = read_form(StreamedSeries(_plan(settings.windows, contract, known, static), known, static)), None
    if kafka.format == "avro-confluent":
        from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra

        schema_id = SchemaRegistry(kafka).register(row_schema_text(form))
    encode = avro_row_encoder(form, schema_id=schema_id)
    return lambda rows: [encode([row]) for row in rows.to_pylist()]


def _plan(
    windows: WindowsSettings, contract: InputContract, known: pa.Table | None, static: pa.Table | None
) -> WindowPlan:
    names = [() if table is None else table.column_names for table in (known, static)]
    return make_plan(windows.spec(), contract, known=names[0], static=names[1])


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        message = f"{path} (windows.known or windows.static) is no readable Parquet file: {error}"
        raise Refused(message) from error

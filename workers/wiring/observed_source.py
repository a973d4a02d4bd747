"""The source of a stream, by what records hold (`kafka.content`): windows, or observations of which windows are made.

In: sections of the settings, an input contract. Out: a `Source`, and what it holds of observations. Knows no stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.offline_root import view_folder
from undertow.adapters.window_forgetting import FileForgetRequests
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.errors import Refused
from undertow.observations.held_snapshot import fingerprint
from undertow.observations.record_arrow import encode_rows
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
from undertow.stream.events import Astray, BegunAnew, Listener, WindowsLeftOut
from undertow.stream.observing import ObservingSource
from undertow.stream.ports import Observed, OfflineLog, Source
from undertow.wiring.formats import open_decode, require_format
from undertow.wiring.known_topic import open_knowing
from undertow.wiring.row_formats import open_reader
from undertow.wiring.window_plan import known_from_topic, plan_with_tables

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
    plan, known, static = plan_with_tables(windows, contract)
    StreamedSeries(plan, known, static)  # refuses side tables that do not fit
    steps = between(plan.min_length, plan.max_length, "step")
    told = f"observations, windows of {steps} every {plan.spec.every}, lateness {plan.spec.lateness}"
    if columns := known_from_topic(windows, contract):
        told += f"; {', '.join(columns)} from {windows.known_topic}"
    return told


def open_source(
    recipe: SourceRecipe,
    embed: "EmbedRecipe",
    tell: Listener,
    give_up: Callable[[], bool],
    log: OfflineLog | None,
) -> tuple[Source, Callable[[], Observed]]:
    """Connect to the topic; return the source, and what tells what it holds of observations. `log` is the stream's."""
    kafka, view, contract = recipe.kafka, embed.manifest.view(), embed.manifest.contract
    if kafka.content == "windows":
        decode = open_decode(kafka, contract)
        return KafkaSource(kafka, decode, view=view.view, topic_id=recipe.topic_id), Observed
    plan, known, static = plan_with_tables(recipe.windows, contract)
    held = StreamedSeries(plan, known, static, held_path=recipe.windows.held_path)
    records = open_records(kafka, held, tell)
    knowing = open_knowing(kafka, recipe.windows, held, tell, give_up)
    decode = records.decode if knowing is None else knowing.before(records.decode)
    home = view_folder(embed.offline.path if embed.log is None else embed.log.root, view)
    source = ObservingSource(
        KafkaSource(kafka, decode, view=view.view, topic_id=recipe.topic_id),
        records,
        WindowSnapshots(home),
        FileForgetRequests(home),
        identity=f"{fingerprint(plan, taken=what_is_taken(kafka))}.{recipe.cluster_id}.{recipe.topic_id}",
        snapshot_seconds=embed.offline.snapshot_seconds,
        tell=tell,
        give_up=give_up,
        close_known=(lambda: None) if knowing is None else knowing.close,
        places=(lambda _partition: ()) if log is None else log.places,
    )
    return source, lambda: source.observed


def what_is_taken(kafka: KafkaSettings) -> dict[str, str | int]:
    """Return what decides which rows of which records are taken, beside the section `windows`.

    Reading once more goes by the settings of now, so a snapshot by others would mean something else.
    """
    return {
        "format": kafka.format,
        "event_time": kafka.event_time.model_dump_json(),
        "max_record_bytes": kafka.max_record_bytes,
        "max_unpacked_bytes": kafka.max_unpacked_bytes,
    }


def open_alone(settings: Settings, contract: InputContract) -> Decode:
    """Return the decoder by which a record is judged by itself: of observations nothing is remembered."""
    if settings.kafka.content == "windows":
        return open_decode(settings.kafka, contract)
    plan, known, static = plan_with_tables(settings.windows, contract)
    times_at = settings.kafka.event_time.at
    read = _open_reader(settings.kafka, StreamedSeries(plan, known, static))  # once: it may ask a registry

    def decode(records: Sequence[Record]) -> Decoded:
        return StreamedRecords(StreamedSeries(plan, known, static), read, times_at=times_at).decode(records)

    return decode


def open_records(kafka: KafkaSettings, series: StreamedSeries, tell: Listener) -> StreamedRecords:
    """Return the decoder of records of observations."""

    def told(what: str, count: int, why: str) -> None:
        if what == "anew":
            tell(BegunAnew(record=why, series=count))
        else:
            tell(Astray(example=why) if what == "astray" else WindowsLeftOut(windows=count, reason=why))

    read = _open_reader(kafka, series)
    return StreamedRecords(series, read, times_at=kafka.event_time.at, told=told)


def _open_reader(kafka: KafkaSettings, series: StreamedSeries) -> ReadRows:
    return open_reader(kafka, read_form(series), [one.name for one in series.plan.of("observed")])


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

    form, schema_id = read_form(StreamedSeries(*plan_with_tables(settings.windows, contract))), None
    if kafka.format == "avro-confluent":
        from undertow.adapters.schema_registry import SchemaRegistry  # noqa: PLC0415  # an extra

        schema_id = SchemaRegistry(kafka).register(row_schema_text(form))
    encode = avro_row_encoder(form, schema_id=schema_id)
    return lambda rows: [encode([row]) for row in rows.to_pylist()]

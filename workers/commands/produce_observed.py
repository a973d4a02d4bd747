"""`undertow produce` of observations as they are, for a topic of which replicas make windows (`kafka.content`).

In: Parquet files with a row for each observation, settings. Out: records in order of time, of each series in one
partition; a closing line. Knows no windows.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a
from rich.console import Console

from undertow.adapters.kafka_admin import describe_topic, ensure_topic
from undertow.adapters.kafka_producer import open_send, partition_of
from undertow.adapters.observation_sort import sorted_rows
from undertow.backfill.observed import ObservedHistory, find_observations
from undertow.commands.sending import Message, Pace, play
from undertow.core.errors import Refused
from undertow.schemas.contract import InputContract
from undertow.schemas.wording import counted
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.wiring.observed_source import describe_content, open_row_encode


def produce_observations(
    settings: Settings, history: AnyPath, console: Console, pace: Pace, contract: InputContract
) -> bool:
    """Send the rows of the files, in order of time; return whether any was sent.

    Raises `Refused`, before anything is sent, if the files cannot hold observations for the model.
    """
    describe_content(settings, contract)
    observed = find_observations(history, settings.windows, contract)
    if observed is None:
        message = (
            f"kafka.content = observations: expected files with the column {settings.windows.time} (windows.time) at "
            f"{history}, found windows, or other rows"
        )
        raise Refused(message)
    kafka = settings.kafka
    if pace.create_partitions is not None:
        ensure_topic(kafka, kafka.topic, partitions=pace.create_partitions)
    partitions = describe_topic(kafka).partitions
    sent, records, infinite, finer, began = 0, 0, 0, 0, time.monotonic()
    with open_send(kafka) as send, tempfile.TemporaryDirectory(prefix="undertow-") as spill:
        is_arrow, memory = kafka.format == "arrow", settings.offline.read_memory_bytes
        encode = open_row_encode(settings, contract)
        for found in _in_order_of_time(observed, memory, Path(spill)):
            of_format = pace.batch if is_arrow else None
            rows = _in_microseconds(found, settings.windows.time)
            finer += found.num_rows - rows.num_rows
            rows = _as_sent(rows, settings.windows.time, settings.windows.created, is_arrow=is_arrow)
            if kafka.format == "json":
                infinite += rows.num_rows - len(finite := _finite(rows))
                rows = rows.take(finite)
            messages = list(pack_rows(rows, contract, encode, partitions=partitions, batch=of_format))
            play(messages, send, began=began, sent=sent, per_second=pace.per_second)
            sent, records = sent + rows.num_rows, records + len(messages)
    text = (
        f"{counted(sent, 'observation')} sent to {kafka.topic} in {counted(records, 'record')} of {kafka.format}, in "
        f"{time.monotonic() - began:.1f} s"
    )
    if infinite:
        text += f"\n{counted(infinite, 'row')} left out: JSON has no infinite numbers, which are no observations either"
    if finer:
        text += f"\n{counted(finer, 'row')} left out: times finer than a microsecond, which are no observations either"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    return bool(sent)


def pack_rows(
    rows: pa.Table,
    contract: InputContract,
    encode: Callable[[pa.Table], list[bytes]],
    *,
    partitions: int,
    batch: int | None,
) -> Iterator[Message]:
    """Yield records in the order in which they are due: of one row, or, without a key, of `batch` of a partition."""
    ids = zip(*(rows[one.name].to_pylist() for one in contract.series), strict=True)
    keys = ["/".join(map(str, series)).encode() for series in ids]
    if batch is None:
        for row, (key, value) in enumerate(zip(keys, encode(rows), strict=True)):
            yield Message(last=row, windows=1, key=key, partition=partition_of(key, partitions), value=value)
        return
    places = np.array([partition_of(key, partitions) for key in keys], np.int64)
    groups = [
        (int(few[-1]), place, few)
        for place in np.unique(places).tolist()
        for mine in [np.flatnonzero(places == place)]
        for few in np.split(mine, range(batch, len(mine), batch))
    ]
    for last, place, few in sorted(groups, key=lambda group: group[0]):
        yield Message(last=last, windows=len(few), key=None, partition=place, value=encode(rows.take(few))[0])


def _in_order_of_time(observed: ObservedHistory, read_memory_bytes: int, spill: Path) -> Iterator[pa.Table]:
    batches = sorted_rows(
        observed.files, observed.columns, (), observed.plan.spec.time, read_memory_bytes=read_memory_bytes, spill=spill
    )
    for batch in batches:
        if batch.num_rows:
            yield pa.Table.from_batches([batch]).select(observed.columns)


def _in_microseconds(rows: pa.Table, time_column: str) -> pa.Table:
    """Return the rows whose times are whole microseconds: cut off, others would become other observations."""
    kind = rows.schema.field(time_column).type
    if not (is_a.is_timestamp(kind) and kind.unit == "ns"):
        return rows
    nanoseconds = pc.fill_null(rows[time_column].cast(pa.int64()), 0).to_numpy()
    return rows.filter(pa.array(nanoseconds % 1_000 == 0))


def _finite(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the rows without an infinite number."""
    good = np.ones(rows.num_rows, np.bool_)
    for column in rows.columns:
        if is_a.is_floating(column.type):
            good &= ~np.isinf(column.to_numpy())
    return np.flatnonzero(good)


def _as_sent(rows: pa.Table, time_column: str, created_column: str, *, is_arrow: bool) -> pa.Table:
    """Return rows whose times every format can hold: microseconds since the epoch, and without a zone texts."""
    if created_column not in {"", time_column} and is_a.is_timestamp(rows.schema.field(created_column).type):
        since = rows[created_column].cast(pa.timestamp("us", tz=rows.schema.field(created_column).type.tz), safe=False)
        rows = rows.set_column(rows.column_names.index(created_column), created_column, since.cast(pa.int64()))
    place, kind = rows.column_names.index(time_column), rows.schema.field(time_column).type
    if is_a.is_timestamp(kind) and kind.tz is not None:
        utc = rows[time_column].cast(pa.timestamp("us", tz="UTC"), safe=False)
        return rows.set_column(place, time_column, utc.cast(pa.int64()))
    if is_a.is_timestamp(kind) and not is_arrow:
        return rows.set_column(place, time_column, rows[time_column].cast(pa.string()))
    return rows

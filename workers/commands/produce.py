"""`undertow produce`: send windows from Parquet to Kafka, in any wire format, at a rate.

In: settings, a Parquet file or folder, a rate. Out: records, in the order of the file, each series in one partition; a
closing line. Knows no model, only the manifest's input contract.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from undertow.adapters.kafka_admin import describe_topic, ensure_topic
from undertow.adapters.kafka_producer import open_send, partition_of
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.chunk_windows import ChunkWindows
from undertow.backfill.chunks import BATCH_ROWS, WHOLE, CutHistory, cut
from undertow.backfill.known_table import parquet_of
from undertow.backfill.observed import ObservedHistory, find_observations, write_pieces
from undertow.backfill.reject_counts import RejectCounts, lines_of, no_window
from undertow.commands.produce_observed import produce_observations
from undertow.commands.sending import Message, Pace, play
from undertow.core.errors import Refused
from undertow.core.private_files import make_folder
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import WindowBatch
from undertow.schemas.wording import counted
from undertow.settings.artifact_paths import only
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.stream.ports import Clock
from undertow.wiring.formats import Encode, open_encode
from undertow.wiring.known_topic import read_known_topic


def produce(
    settings: Settings,
    history: AnyPath,
    console: Console,
    *,
    per_second: float,
    batch: int,
    create_partitions: int | None = None,
    clock: Clock = time.time,
) -> bool:
    """Send the windows of the files; return whether any was sent (or the files have no rows at all).

    Of observations, they are sent series by series; the observations themselves where `kafka.content` says so.

    `create_partitions`: create the topic with this many partitions if it does not exist. `clock`: seconds since the
    epoch, by which event times are checked. Raises `Refused`, before anything is sent, if the files cannot hold windows
    of the artifact.
    """
    contract = read_manifest(only(settings.model.artifacts)).contract
    rows = max(BATCH_ROWS, batch)
    pace = Pace(per_second=per_second, batch=batch, create_partitions=create_partitions, clock=clock)
    if settings.kafka.content == "observations":
        return produce_observations(settings, history, console, pace, contract)
    observed = find_observations(history, settings.windows, contract)
    if observed is None:
        found = cut(history, contract, space="", chunk_rows=rows, digest_of=lambda _path: "")
        return _produce(settings, history, found, console, pace, contract, None)
    with tempfile.TemporaryDirectory(prefix="undertow-") as folder:
        pieces = Path(folder, "pieces")
        pieces.mkdir()
        if (now := read_known_topic(settings, contract)) is not None:
            now.require_rows()
            console.print(f"what is known ahead: {now.told}", highlight=False, markup=False, soft_wrap=True)
            ahead = Path(folder, "known.parquet")
            ahead.write_bytes(parquet_of(now.table))
            observed = replace(observed, known=ahead)
        memory = settings.offline.read_memory_bytes
        sort = partial(write_pieces, chunk_rows=rows, read_memory_bytes=memory, spill=Path(folder), key="")
        sort(observed, lambda name, content: (pieces / name).write_bytes(content))
        found = cut(pieces, None, space="", chunk_rows=WHOLE, digest_of=lambda _path: "")
        text = f"{history} holds observations: windows are made of them, as the section windows of the settings says"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return _produce(settings, history, found, console, pace, contract, (pieces, observed))


def _produce(
    settings: Settings,
    history: AnyPath,
    found: CutHistory,
    console: Console,
    pace: Pace,
    contract: InputContract,
    pieces: tuple[Path, ObservedHistory] | None,
) -> bool:
    kafka, create_partitions, batch = settings.kafka, pace.create_partitions, pace.batch
    encode = open_encode(kafka, contract)
    for fault in found.faults.values():
        raise Refused(fault)
    for line in found.left_out:
        console.print(f"left out: {line}", highlight=False, markup=False, soft_wrap=True)
    if create_partitions is not None:
        ensure_topic(kafka, kafka.topic, partitions=create_partitions)
    partitions = describe_topic(kafka).partitions
    if create_partitions not in {None, partitions}:
        console.print(
            f"the topic {kafka.topic} is there already, with {counted(partitions, 'partition')}", highlight=False
        )
    times = kafka.event_time.at(pace.clock())
    place, observed = (history, None) if pieces is None else pieces
    reader = ChunkWindows(place, contract, times, observed)
    sent, records, odd = 0, 0, 0
    refusals = RejectCounts()
    log = settings.offline.path
    beside = log.parent if isinstance(log, Path) else Path(".undertow")
    listed = beside / "produce" / f"{history.absolute().stem or 'history'}.rejects.jsonl"
    columns = (TextColumn("produce"), BarColumn(), MofNCompleteColumn(), TextColumn("windows"), TimeRemainingColumn())
    began = time.monotonic()
    with open_send(kafka) as send, Progress(*columns, console=console) as bar:
        task = bar.add_task("produce", total=sum(chunk.rows for chunk in found.chunks))
        for chunk in found.chunks:
            for read in reader.read(chunk):
                if bad := [(one.row, one.reason, one.detail) for one in read.bad]:
                    _list(lines_of(chunk, bad), listed, is_first=not refusals.total)
                    refusals += RejectCounts.of(chunk, bad)
                of_format = batch if kafka.format == "arrow" else 1
                messages = list(pack(read.windows, encode, contract, partitions=partitions, batch=of_format))
                _refuse_large(messages, kafka.max_record_bytes)
                play(messages, send, began=began, sent=sent, per_second=pace.per_second)
                sent, records = sent + len(read.windows), records + len(messages)
                odd += int(np.count_nonzero(times.odd(read.windows.end_us)))
            bar.advance(task, chunk.rows)
    seconds = time.monotonic() - began
    text = (
        f"{counted(sent, 'window')} sent to {kafka.topic} in {counted(records, 'record')} of {kafka.format}, "
        f"in {seconds:.1f} s"
    )
    for line in (text, *_notes(reader.why_none, odd, refusals, listed)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return bool(sent) or not any(chunk.rows for chunk in found.chunks)


def _notes(why_none: str, odd: int, refusals: RejectCounts, listed: Path) -> Iterator[str]:
    if why_none:
        yield no_window(why_none, refusals)
    if odd:
        yield f"{odd:,} of the windows have event times before 1990 or after next year"
    if refusals.total:
        yield f"{refusals}\nall refused rows are listed in {listed}"


def pack(
    windows: WindowBatch, encode: Encode, contract: InputContract, *, partitions: int, batch: int
) -> Iterator[Message]:
    """Yield records in the order in which they are due, each with up to `batch` windows of one partition."""
    ids = zip(*(windows.series[column.name].tolist() for column in contract.series), strict=True)
    keys = ["/".join(map(str, series)).encode() for series in ids]
    if batch == 1:
        for row, (key, value) in enumerate(zip(keys, _one_by_one(windows, encode), strict=True)):
            yield Message(last=row, windows=1, key=key, partition=partition_of(key, partitions), value=value)
        return
    places = np.array([partition_of(key, partitions) for key in keys], np.int64)
    groups = [
        (int(rows[-1]), place, rows)
        for place in np.unique(places).tolist()
        for mine in [np.flatnonzero(places == place)]
        for rows in np.split(mine, range(batch, len(mine), batch))
    ]
    for last, place, rows in sorted(groups, key=lambda group: group[0]):
        (value,) = encode(windows.take(rows))
        yield Message(last=last, windows=len(rows), key=None, partition=place, value=value)


def _one_by_one(windows: WindowBatch, encode: Encode) -> list[bytes]:
    """Return one record for each window, in a format that could hold several."""
    values = encode(windows)
    if len(values) == len(windows):
        return values
    return [encode(windows.take(np.array([row])))[0] for row in range(len(windows))]


def _list(lines: bytes, path: Path, *, is_first: bool) -> None:
    """Append refused rows to the list; the first call of a run replaces the list of the run before."""
    try:
        make_folder(path.parent)
        with path.open("wb" if is_first else "ab") as file:
            file.write(lines)
    except OSError as error:
        message = f"rows are refused, and the list of them cannot be written to {path} (beside offline.path): {error}"
        raise Refused(message) from error


def _refuse_large(messages: list[Message], max_record_bytes: int) -> None:
    largest = max(messages, key=lambda message: len(message.value), default=None)
    if largest is not None and len(largest.value) > max_record_bytes:
        message = (
            f"a record of {counted(largest.windows, 'window')} takes {len(largest.value)} bytes, and the fleet "
            f"refuses more than {max_record_bytes} (kafka.max_record_bytes): send fewer in one (--batch), or raise it"
        )
        raise Refused(message)

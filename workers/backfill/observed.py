"""History whose rows are observations, cut into pieces that hold whole series.

In: Parquet files with a row for each observation, and the section `windows`. Out: an `ObservedHistory`, and pieces of
the files, each of which becomes one chunk. Knows neither models nor Ray.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from undertow.adapters.observation_sort import sorted_rows
from undertow.backfill.digests import content_digest
from undertow.backfill.history_files import PIECE, find_history
from undertow.core.errors import Refused
from undertow.observations.faults import explain_rows, sum_up
from undertow.observations.from_tables import make_windows, read_known
from undertow.observations.known_rows import empty_known, known_names
from undertow.observations.plan import WindowPlan, make_plan
from undertow.observations.read import TableForm, read_observations
from undertow.observations.windowed import require_known
from undertow.schemas.contract import InputContract
from undertow.schemas.lookalikes import looks_misspelt
from undertow.schemas.wording import counted
from undertow.settings.windows_section import WindowsSettings
from undertow.storage.store_path import AnyPath

MOST_OFF_GRID = 0.99
"""Of the first rows, the share off the grid that cannot be meant: of times that are nobody's grid points all are. Below
it lies what may be meant, rows of each minute taken at each hour, of which 59 of 60 are off. A choice."""
FEWEST_ROWS, FIRST_ROWS = 1_000, 1 << 16
"""Of fewer rows nothing is concluded: they are listed in no time. More than the first are not looked at. Choices."""
Write = Callable[[str, bytes], object]
"""Writes a file under a name, whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedHistory:
    """Observations, and how they become windows. Plain data, which travels to actors."""

    files: tuple[Path, ...]
    plan: WindowPlan
    known: AnyPath | None
    static: Path | None

    @property
    def columns(self) -> list[str]:
        """The columns of the files that are needed."""
        plan = self.plan
        names = [*(one.name for one in plan.contract.series), plan.spec.time, plan.spec.created]
        names += [*(one.name for one in plan.of("observed")), *(column.name for column in plan.static)]
        return [name for name in dict.fromkeys(names) if name]

    def key(self, chunk_rows: int) -> str:
        """Return a text that differs wherever the pieces, or the windows of them, may."""
        files = [*self.files, *(path for path in (self.known, self.static) if path is not None)]
        said = {
            "windows": self.plan.spec.meaning,
            "contract": self.plan.contract.to_json(),
            "files": sorted(content_digest(path) for path in files),
            "rows": chunk_rows,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def find_observations(
    history: AnyPath, windows: WindowsSettings, contract: InputContract, from_topic: AnyPath | None = None
) -> ObservedHistory | None:
    """Return what the files hold, or None where their rows are windows. Raises `Refused` if they cannot be read so.

    `from_topic` is the file of what `windows.known_topic` says, if it was read already; without, the result only shows
    whether the files fit.

    They are taken for observations where `windows.every` is set, the first file has the column `windows.time`, and no
    columns `past` and `end`. Nearly all of the first rows being off the grid is refused, too: see `MOST_OFF_GRID`.
    """
    if not windows.every:
        return None
    found = find_history(history)
    schema = _schema(found.folder / found.names[0])
    of_windows = {"past", "end"} & {*schema.names}
    if windows.time not in schema.names and not of_windows:
        message = (
            f"{found.folder / found.names[0]}: expected observations with their times in {windows.time} "
            f"(windows.time), or windows with past and end, found neither{looks_misspelt(windows.time, schema.names)}"
        )
        raise Refused(message)
    if windows.time not in schema.names or len(of_windows) > 1:
        return None
    if not isinstance(found.folder, Path):
        message = f"expected observations on a disk, found {history}: copy them to one, where they can be sorted"
        raise Refused(message)
    known, static = from_topic or _absolute(windows.known), _absolute(windows.static)
    columns = known_names(windows.calendar, contract) if windows.known_topic else _names(known)
    plan = make_plan(windows.spec(), contract, known=columns, static=_names(static))
    ahead = empty_known(plan) if windows.known_topic else _empty(known)
    make_windows(plan, schema.empty_table(), ahead, _empty(static))  # refuses columns that do not fit
    if windows.known is not None and any(plan.of("known")):
        _require_known(plan, windows.known)
    files = tuple(found.folder / name for name in found.names)
    _require_grid(plan, files[0])
    return ObservedHistory(files=files, plan=plan, known=known, static=static)


def _require_grid(plan: WindowPlan, path: Path) -> None:
    """Raise `Refused` where nearly all of a file's first rows would be refused one by one, as off the grid."""
    spec = plan.spec
    table = next(_in_batches(path, [spec.time]), None)
    if table is None or table.num_rows < FEWEST_ROWS:
        return
    form = TableForm(ids=(), time=spec.time, zone=spec.zone, fold=spec.fold, created="", columns=(), grid=plan.grid)
    off = [one for one in read_observations(table, form).bad if one.reason == "off-grid"]
    count = sum(len(one.rows) for one in off)
    if count >= MOST_OFF_GRID * table.num_rows:
        (example,) = explain_rows([off[0].take(slice(1))], table)
        message = (
            f"{path}: expected observations within windows.tolerance ({spec.tolerance}) of grid points each "
            f"{spec.every}, found {count:,} of the first {table.num_rows:,} rows further off, for example row "
            f"{example.row}: {example.detail}; or windows.origin may be wrong"
        )
        raise Refused(message)


def _require_known(plan: WindowPlan, path: Path) -> None:
    """Raise `Refused` where no row of the table says what is known: no window could be made. Reads to the first one."""
    nobody = {one.name: np.zeros(0, object) for one in plan.contract.series}
    found = "there is no row"
    for table in _in_batches(path):
        ahead, bad = read_known(plan, table, nobody)
        if require_known(ahead).reach.any():
            return
        if found == "there is no row":
            found = sum_up(bad, table, "say nothing") or f"none of {counted(table.num_rows, 'row')} has all of them"
    names = ", ".join(one.name for one in plan.of("known"))
    message = f"{path} (windows.known): expected rows with {names}, without which no window is made; {found}"
    raise Refused(message)


def _in_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a file, up to `FIRST_ROWS` at a time. Raises `Refused`."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(FIRST_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        message = f"{path} is no readable Parquet file: {error}"
        raise Refused(message) from error


def write_pieces(
    observed: ObservedHistory, write: Write, *, chunk_rows: int, read_memory_bytes: int, spill: Path, key: str
) -> int:
    """Write the observations as Parquet files of whole series, at least `chunk_rows` rows each; return how many.

    The same observations give the same files, and another `key` others: chunks are known by their content.
    """
    ids = [one.name for one in observed.plan.contract.series]
    batches = sorted_rows(
        observed.files, observed.columns, ids, observed.plan.spec.time, read_memory_bytes=read_memory_bytes, spill=spill
    )
    count = 0
    for count, piece in enumerate(_pieces(batches, ids, chunk_rows), start=1):
        sink = pa.BufferOutputStream()
        pq.write_table(piece.replace_schema_metadata({"undertow": key}), sink, write_page_checksum=True)
        write(f"{count:06}{PIECE}", sink.getvalue().to_pybytes())
    return count


def _pieces(batches: Iterator[pa.RecordBatch], ids: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """Cut sorted rows where a series ends, as soon as there are enough."""
    held: list[pa.RecordBatch] = []
    many, before = 0, None
    for batch in batches:
        if not batch.num_rows:
            continue
        begin = 0
        for place in _series_begins(batch, ids, before):
            if many + place - begin >= rows:
                yield pa.Table.from_batches([*held, batch.slice(begin, place - begin)])
                held, many, begin = [], 0, place
        held.append(batch.slice(begin))
        many += batch.num_rows - begin
        before = _ids_of(batch, batch.num_rows - 1, ids)
    if held:
        yield pa.Table.from_batches(held)


def _series_begins(batch: pa.RecordBatch, ids: Sequence[str], before: object) -> list[int]:
    """Return the places at which another series begins than that of the row before."""
    begins = pa.array([before is not None and _ids_of(batch, 0, ids) != before] + [False] * (batch.num_rows - 1))
    for name in ids:
        column = batch.column(name)
        here, earlier = column.slice(1), column.slice(0, batch.num_rows - 1)
        differs = pc.or_(pc.fill_null(pc.not_equal(here, earlier), False), pc.xor(here.is_null(), earlier.is_null()))  # noqa: FBT003
        begins = pc.or_(begins, pa.concat_arrays([pa.array([False]), differs]))
    places: list[int] = pc.indices_nonzero(begins).to_pylist()
    return places


def _ids_of(batch: pa.RecordBatch, row: int, ids: Sequence[str]) -> tuple[object, ...]:
    return tuple(batch.column(name)[row].as_py() for name in ids)


def _schema(path: AnyPath) -> pa.Schema:
    try:
        source: Any = path if isinstance(path, Path) else path.open("rb")
        return pq.read_schema(source)
    except (pa.ArrowException, OSError) as error:
        message = f"{path} is no readable Parquet file: {error}"
        raise Refused(message) from error


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _names(path: AnyPath | None) -> list[str]:
    return [] if path is None else list(_schema(path).names)


def _empty(path: AnyPath | None) -> pa.Table | None:
    return None if path is None else _schema(path).empty_table()

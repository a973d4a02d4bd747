"""The driver for streams: observations as they come, to the windows that a frame of the same ones has.

In: observations in the order of their records. Out: each window once, when its last cell is closed, with the record
that closed it. What is held follows from the records alone, in whatever portions they come: neither clock nor other
series count. Knows neither Kafka nor formats.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from undertow.observations.category_places import Numbers
from undertow.observations.cells import Cells, combine_cells
from undertow.observations.closing import Closing, follow
from undertow.observations.faults import BadRows
from undertow.observations.from_cells import Beside, cell_behind, cut_windows, statics_beside
from undertow.observations.from_tables import read_known, static_table
from undertow.observations.held_names import HeldNames
from undertow.observations.held_series import NO_CELL, HeldSeries, join_cells
from undertow.observations.known_places import KnownPlaces
from undertow.observations.names_in_use import keep_names_in_use
from undertow.observations.open_rows import Columns, OpenRows, value_name
from undertow.observations.plan import WindowPlan
from undertow.observations.read import Observations
from undertow.observations.refusals import explain_contradictions, explain_late
from undertow.observations.series_keys import Keys
from undertow.observations.series_places import SeriesPlaces
from undertow.observations.stated_statics import Stated, settle_statics
from undertow.observations.taken import RecordPlaces, Refusal, StreamedWindows
from undertow.observations.windowed import Windows
from undertow.schemas.arrow_columns import Mask, Rows
from undertow.schemas.windows import Values

_FEW_NAMES = 10_000
"""New names that are not worth a look at what is in use. A choice: some 2 MB."""


class StreamedSeries:
    """All series of the partitions that one stream reads. One thread owns it."""

    def __init__(
        self,
        plan: WindowPlan,
        known: pa.Table | None = None,
        static: pa.Table | None = None,
        *,
        held_path: Path | None = None,
    ) -> None:
        """Hold nothing. `known` and `static` are the side tables. Raises `Refused` where they do not fit.

        The last cells of each series lie in a file below `held_path`, if it is given.
        """
        self.held_path = held_path
        self.plan, self._closing = plan, Closing(grid=plan.grid, lateness_us=plan.spec.lateness_us)
        observed = list(plan.of("observed"))
        self.columns = (*(one.column for one in observed), *plan.static)
        self._rules = {one.name: one.combine for one in observed}
        nobody: dict[str, Values] = {
            one.name: np.zeros(0, object if one.type == "string" else np.int64) for one in plan.contract.series
        }
        self._nobody = nobody
        self.know(known)
        self._aside = static_table(plan, static)
        # Before its last step a window needs the others, and what its first step may be filled with.
        depth = max(1, plan.max_length - 1 + plan.max_gap)
        self.held = HeldSeries(depth=depth, columns=[*self._rules], statics=len(plan.static), folder=held_path)
        self._places = SeriesPlaces(self.held)
        self.open = OpenRows(column.name for column in self.columns)
        self.names = {column.name: HeldNames() for column in self.columns if not column.is_real}
        self._names_kept = 0  # when they were last looked through
        nothing = Cells(
            series=np.zeros(0, np.int64), index=np.zeros(0, np.int64), values=dict.fromkeys(self._rules, np.zeros(0))
        )
        self._nothing = cut_windows(plan, nothing, self._beside(nobody, self.held.stated(np.zeros(0, np.int64))))
        self._no_window = self._nothing.take(np.zeros(0, np.int64))

    def know(self, known: pa.Table | None) -> None:
        """Make windows with this table of what is known ahead from now on. Raises `Refused` where it does not fit.

        Nothing of it is held beside: it is looked up when a window is made.
        """
        ahead, _ = read_known(self.plan, known, self._nobody)
        self._known = None if ahead is None else KnownPlaces(ahead)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that are used. For any thread."""
        names = sum(one.nbytes for one in self.names.values())
        return self.held.nbytes + self.open.nbytes + names + (0 if self.held_path else self.held.row_bytes)

    @property
    def file_bytes(self) -> int:
        """Bytes that are held in a file, of which the kernel keeps in memory what it has room for. For any thread."""
        return self.held.row_bytes if self.held_path else 0

    def take(self, seen: Observations, record_of: Rows, records: RecordPlaces) -> StreamedWindows:
        """Take observations, read with `PARTITION` as the last id; `record_of` (n,) is ascending."""
        if not len(seen.rows):
            return self._taken(self._nothing, np.zeros(0, np.int64))
        if self.names and sum(map(len, self.names.values())) - self._names_kept > _names_between(self.held):
            self._let_go_of_names()
        places, astray = self._places.find(seen.ids)
        moves = follow(seen.series, record_of, seen.time_us, self.held.newest_us[places])
        self.held.newest_us[places] = moves.newest
        due_us = self._closing.due_us(seen.index)
        late = due_us <= moves.newest_before
        refused: list[Refusal] = []
        if late.any():
            refused = explain_late(self.plan.spec, seen, late, moves, record_of, records)
            seen, record_of, due_us = seen.take(~late, ()), record_of[~late], due_us[~late]
        created = np.zeros((len(due_us), 2)) if seen.created is None else seen.created
        rows: Columns = {
            "place": places[seen.series],
            "due_us": due_us,
            "time_us": seen.time_us,
            "created": created[:, 0],
            "created_rest": created[:, 1],
            "offset": records.offset[record_of],
            "appended_us": records.appended_us[record_of],
            **{
                value_name(name): self.names[name].encode(column, seen.names[name]) if name in self.names else column
                for name, column in seen.values.items()
            },
        }
        closed, series = self._take_closed(rows, seen.series, places)
        if not len(series):
            return self._taken(self._nothing, np.zeros(0, np.int64), refused, astray)
        cells, bad = self._combine(closed, series, seen.ids, places)
        if bad:
            refused += explain_contradictions(closed, series, self.held.partition, bad, moves, records)
        by = moves.closer(cells.series, self._closing.due_us(cells.index))
        windows, closers = self._cut(cells, by, seen.ids, places, records.emits)
        return self._taken(windows, closers, refused, astray)

    def forget(self, keys: Keys) -> int:
        """Let go of series; return how many of them were held."""
        places = self.held.find(keys)
        kept = np.ones(len(self.held), np.bool_)
        kept[places[places >= 0]] = False
        if gone := int(np.count_nonzero(~kept)):
            self._keep(kept)
        return gone

    def drop(self, partitions: Collection[int]) -> None:
        """Let go of partitions."""
        if self.held.of_partitions.keys() & partitions:
            self._keep(~np.isin(self.held.partition[: len(self.held)], list(partitions)))

    def _keep(self, kept: Mask) -> None:
        self.open.keep(self.held.keep(kept))
        self._let_go_of_names()

    def _let_go_of_names(self) -> None:
        keep_names_in_use(self.names, self.held, self.open, [column.name for column in self.plan.static])
        self._names_kept = sum(map(len, self.names.values()))

    def _taken(
        self, windows: Windows, closers: Rows, refused: "list[Refusal] | None" = None, astray: str = ""
    ) -> StreamedWindows:
        batch = windows.take(np.arange(len(windows))) if len(windows) else self._no_window
        left_out = windows.left_out
        return StreamedWindows(
            windows=batch, record_of=closers, refused=tuple(refused or ()), left_out=left_out, astray=astray
        )

    def _take_closed(self, rows: Columns, series: Rows, places: Rows) -> tuple[Columns, Rows]:
        """Keep new rows; return those whose cells are closed, with their series: mostly they have just come."""
        closed = self.open.take_closed(places, self.held.newest_us)
        of_closed = np.zeros(0, np.int64)
        if len(closed["place"]):
            order = np.argsort(places)
            of_closed = order[np.searchsorted(places, closed["place"], sorter=order)]
        at_once = rows["due_us"] <= self.held.newest_us[rows["place"]]
        if not at_once.all():
            self.open.add({name: column[~at_once] for name, column in rows.items()})
            rows, series = {name: column[at_once] for name, column in rows.items()}, series[at_once]
        if not len(of_closed):
            return rows, series
        both = {name: np.concatenate([column, rows[name]]) for name, column in closed.items()}
        return both, np.concatenate([of_closed, series])

    def _combine(
        self, closed: Columns, series: Rows, ids: Mapping[str, Values], places: Rows
    ) -> tuple[Cells, tuple[BadRows, ...]]:
        """Return the cells of observations whose cells are closed, and which of these contradict others."""
        time_us, due_us = (np.asarray(closed[name], np.int64) for name in ("time_us", "due_us"))
        # Between equals the order of the texts decides, as in frames, whose numbers are in this order.
        values: dict[str, Numbers] = {
            one.name: self._in_order(one.name, np.asarray(closed[value_name(one.name)], np.float64))
            for one in self.columns
        }
        rows = Observations(
            rows=np.arange(len(time_us)),
            series=series,
            ids=ids,
            time_us=time_us,
            index=self._closing.index(due_us),
            created=np.stack([closed["created"], closed["created_rest"]], 1) if self.plan.spec.created else None,
            values=values,
            names={},
            bad=(),
        )
        agreeing = rows
        if self.plan.static:
            before = self._ranked(self.held.stated(places), back=False)
            agreeing, stated = settle_statics(rows, self.plan.static, before)
            self.held.state(places, self._ranked(stated, back=True))
        cells = combine_cells(agreeing, self._rules)
        numbers = {
            name: self.names[name].out_of_order(column) if name in self.names else column
            for name, column in cells.values.items()
        }
        return Cells(series=cells.series, index=cells.index, values=numbers), agreeing.bad

    def _cut(
        self, cells: Cells, by: Rows, ids: Mapping[str, Values], places: Rows, emits: Mask
    ) -> tuple[Windows, Rows]:
        """Return the windows that end at new cells, or between them and the ones before, in order of their records."""
        opens = np.ones(len(cells.series), np.bool_)
        opens[1:] = cells.series[1:] != cells.series[:-1]
        begins = np.flatnonzero(opens)
        series, counts = cells.series[begins], np.diff(begins, append=len(opens))
        mine = places[series]
        wanted = np.logical_or.reduceat(emits[by], begins) if len(begins) else np.zeros(0, np.bool_)
        if self.plan.spec.stride > 1:
            before, last = self.held.last_index(mine), cells.index[begins + counts - 1]
            before = np.where(before == NO_CELL, cells.index[begins] - 1, before)
            wanted &= last // self.plan.spec.stride > before // self.plan.spec.stride
        made, closers = self._nothing, np.zeros(0, np.int64)
        if wanted.any():
            before_them, held = self.held.held_cells(mine[wanted])
            taken = np.repeat(wanted, counts)
            joined, record = join_cells(series[wanted], before_them, held, counts[wanted], cells, by, taken)
            beside = self._beside({name: ids[name] for name in self._nothing.ids}, self.held.stated(places))
            windows = cut_windows(self.plan, joined, beside, (record >= 0) & emits[record])
            last = windows.spans.last
            closed_by = record[cell_behind(windows.layout)[last]]
            order = np.lexsort((windows.layout.index[last], windows.layout.series[last], closed_by))
            made, closers = replace(windows, spans=windows.spans.take(order)), closed_by[order]
        self.held.append(mine, counts, cells.index, dict(cells.values))
        return made, closers

    def _beside(self, ids: Mapping[str, Values], stated: Stated) -> Beside:
        names: dict[str, Values] = {name: held.texts for name, held in self.names.items()}
        known = None
        if self._known is not None:
            known = self._known.of(ids)
            names |= known.names
        return Beside(ids=ids, names=names, known=known, **statics_beside(self.plan, stated, self._aside, ids, names))

    def _in_order(self, name: str, numbers: Numbers, *, back: bool = False) -> Numbers:
        if (names := self.names.get(name)) is None:
            return numbers
        return names.out_of_order(numbers) if back else names.in_order(numbers)

    def _ranked(self, stated: Stated, *, back: bool) -> Stated:
        """Return what was said with the numbers of categories in the order of their texts, or back."""
        said = stated.said.copy()
        for place, column in enumerate(self.plan.static):
            said[:, place] = self._in_order(column.name, said[:, place], back=back)
        return Stated(said=said, since=stated.since)


def _names_between(held: HeldSeries) -> int:
    """Return how many new names make it worth to look through the cells: as many as there are, so each costs little."""
    return max(_FEW_NAMES, len(held) * held.depth)

"""A series that begins anew: what stays of it, and what does not."""

import pyarrow as pa

from tests.observations.conftest import TIME, contract_of
from tests.observations.streaming import Streamed
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column

SECOND = 1_000_000
KINDS = {"site": pa.string(), TIME: pa.int64(), "flow": pa.float64(), "size": pa.float64()}
CONTRACT = contract_of("flow", min_length=2, static=(Column(name="size"),))


def row(site, at, flow=1.0, **more):
    return {"site": site, TIME: at * SECOND, "flow": flow, **more}


def ends(stream):
    return [(offset, ids[0], int(end) // SECOND, len(steps)) for offset, (ids, end, steps, _) in stream.found]


def test_cells_and_what_waits_for_its_cell_go_while_statics_and_what_is_late_stay():
    stream = Streamed(WindowSpec(every="1s", lateness="2s"), CONTRACT, KINDS)
    stream.feed([[row(site, at, size=7.0) for site in "ab" for at in range(6)]])  # cells to 3 are closed
    assert stream.refuse([row("a", 6), row("new", 6)]) == 2
    stream.found.clear()
    stream.feed([[row(site, 3)] for site in "ab"])
    assert stream.refused == [(2, "late"), (3, "late")]
    stream.feed([[row("a", 5), row("a", 6), row("b", 6)]])  # of a that of 4 and 5 had gone, of which one comes again
    stream.feed([[row("a", 9), row("b", 9)]])
    assert ends(stream) == [
        *((4, "b", 4, 4),),
        *((5, "a", 6, 2), (5, "b", 5, 4), (5, "b", 6, 4)),
    ]
    assert {window[3]["size"] for _, window in stream.found} == {7.0}


def test_of_a_series_that_is_in_two_partitions_only_what_this_one_has_begins_anew():
    stream = Streamed(WindowSpec(every="1s"), contract_of("flow", min_length=2), {**KINDS})
    for partition in (0, 1):
        stream.feed([[row("a", 0), row("a", 1)]], partition=partition)
    stream.refuse([row("a", 2)], partition=1)
    stream.found.clear()
    for partition in (0, 1):
        stream.feed([[row("a", 2)]], partition=partition)
    assert ends(stream) == [(3, "a", 2, 3)]

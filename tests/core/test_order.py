"""When a row was delivered: after the row before it in its chain, the same for all readers, a number of its own."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undertow.schemas.times import LAST_US
from undertow.stream.order import STEP_US, backfill_begin, stamp, stamp_backfill

JUNE = 1_717_200_000_123_000
RECORDS = st.lists(
    st.tuples(
        st.integers(0, 2),  # partition
        st.integers(JUNE - 3, JUNE + 3).map(lambda ms: ms * 1000) | st.sampled_from([-1000, 0, JUNE, LAST_US]),
        st.integers(0, 3),  # windows
    ),
    max_size=12,
)


def stamped(records, latest):
    partition, appended, windows = (np.array(column, np.int64) for column in zip(*records, strict=True))
    return stamp(partition, appended, np.repeat(np.arange(len(records)), windows), latest)


@given(
    records=RECORDS, cuts=st.sets(st.integers(1, 11)), known=st.dictionaries(st.integers(0, 2), st.integers(0, JUNE))
)
def test_it_grows_along_each_chain_and_does_not_depend_on_how_the_log_is_read(records, cuts, known):
    whole = stamped(records, known) if records else ([], known)
    latest, pieces, begins = known, [], sorted({0, *cuts, len(records)})
    for begin, end in itertools.pairwise(begins):
        if piece := records[begin:end]:
            created, latest = stamped(piece, latest)
            pieces += created.tolist()
    assert (pieces, latest) == (list(whole[0]), whole[1])
    owner = [partition for partition, _, windows in records for _ in range(windows)]
    for index in range(3):
        mine = [created for created, partition in zip(pieces, owner, strict=True) if partition == index]
        assert mine == sorted(set(mine))
        assert mine == [] or known.get(index, 0) < mine[0] <= mine[-1] <= latest[index]
    assert len(set(pieces)) == len(pieces)


def test_it_is_the_records_own_timestamp_where_nothing_stands_against_it():
    created, latest = stamped([(0, JUNE, 1), (0, JUNE + 10**6, 1), (5, JUNE, 1)], {})
    assert abs(created - [JUNE, JUNE + 10**6, JUNE]).max() < STEP_US
    assert latest == {0: created[1], 5: created[2]}


def test_a_refused_record_moves_its_chain_too():
    created, latest = stamped([(0, JUNE, 1), (0, JUNE + 10**9, 0), (0, JUNE, 1)], {})
    assert created[1] > JUNE + 10**9 - STEP_US
    assert stamped([(0, JUNE + 10**9, 0)], {0: created[0]})[1][0] == created[1] - STEP_US
    assert latest == {0: created[1]}


def test_of_one_millisecond_no_two_chains_and_no_backfill_share_a_number():
    streams, _ = stamped([(index, JUNE, 40) for index in range(32)], {})
    past = stamp_backfill(backfill_begin(JUNE, 0), np.arange(2_000))
    assert len({*streams.tolist(), *past.tolist()}) == 32 * 40 + 2_000


@given(now=st.integers(0, LAST_US), latest=st.integers(0, LAST_US))
def test_a_backfill_begins_now_but_after_all_that_the_log_has(now, latest):
    begin = backfill_begin(now, latest)
    assert begin >= now
    assert 0 < begin - latest <= max(2, now - latest + 1)

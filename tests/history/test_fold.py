"""What is folded and what is deleted, decided from listings alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.core.errors import Refused
from undertow.history.fold import deletable, note_of, plan
from undertow.stream.history_ports import FoldChain, FoldedUpTo, PartPlace

positions = st.lists(st.integers(0, 99), min_size=1, max_size=8, unique=True).map(sorted)


def chain(name, places, notes=(), size=1):
    return FoldChain(
        id=f"id of {name}",
        name=name,
        notes=tuple(FoldedUpTo(position=p, parts=n, at_s=at) for p, n, at in notes),
        parts=tuple(PartPlace(position=place, size=size) for place in places),
    )


@given(lists=st.lists(positions, max_size=4), batch_bytes=st.integers(1, 5), data=st.data())
def test_each_part_between_the_tables_end_and_a_chains_last_is_in_one_batch_and_moves_follow_each_other(
    lists, batch_bytes, data
):
    chains = [chain(str(number), places) for number, places in enumerate(lists)]
    folded = {one.id: data.draw(st.sampled_from([0, *(p.position for p in one.parts)])) for one in chains}
    ends, batches = dict(folded), [*plan(chains, folded, batch_bytes=batch_bytes)]
    for batch in batches:
        assert 0 < len(batch.parts) <= batch_bytes
        for one, move in batch.moves.items():
            assert move.begin == ends[one] < move.upto
            ends[one] = move.upto
    taken = [(one.id, position) for batch in batches for one, position in batch.parts]
    expected = [(one.id, part.position) for one in chains for part in one.parts[:-1] if part.position >= folded[one.id]]
    assert taken == expected
    assert all(ends[one.id] in (folded[one.id], one.parts[-1].position) for one in chains)


def test_a_table_that_has_less_than_a_chain_remembers_is_refused():
    with pytest.raises(Refused, match="up to 5, as its chain notes; it has it up to 3"):
        [*plan([chain("w/0", [5, 7], [(5, 2, 0.0)])], {"id of w/0": 3}, batch_bytes=9)]


def test_a_note_counts_the_parts_before_it_also_those_that_are_deleted():
    one = chain("w/0", [2, 5, 7, 9], [(5, 3, 0.0)])
    assert note_of(one, 9, now_s=4.0) == FoldedUpTo(position=9, parts=5, at_s=4.0)
    assert note_of(one, 5, now_s=4.0) is None


NOTES = [(5, 2, 100.0), (9, 4, 200.0)]


@pytest.mark.parametrize(
    ("places", "notes", "now_s", "upto"),
    [
        ([0, 3, 5, 7, 9], NOTES, 149.0, None),
        ([0, 3, 5, 7, 9], NOTES, 150.0, 5),
        ([5, 7, 9], NOTES, 249.0, None),
        ([5, 7, 9], NOTES, 250.0, 9),
        ([9], NOTES, 250.0, 9),  # killed before it removed the older note
        ([9], NOTES[1:], 250.0, None),
        ([0, 3], [], 250.0, None),
    ],
)
def test_parts_before_a_note_older_than_the_grace_time_are_deleted(places, notes, now_s, upto):
    found = deletable(chain("w/0", places, notes), now_s=now_s, grace_seconds=50.0)
    assert (found and found.position) == upto

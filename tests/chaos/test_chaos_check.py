"""The checker finds what is planted, and the script follows from its seed alone."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.chaos.check import Offline, Truth, Verdict, check
from tests.chaos.kinds import EVERY_KIND
from tests.chaos.past import judge
from tests.chaos.places import Lane, Part, Place
from tests.chaos.report import BEGIN, END, Recovered, keep, write_report
from tests.chaos.script import write_script
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream import verdicts
from undertow.stream.order import stamp_backfill

VECTORS = np.arange(15, dtype=np.float32).reshape(5, 3)
TRUTH = Truth(
    # Number 3 was sent twice; number 4 and a poison were deleted before they were read.
    windows={Place(0, 0): 0, Place(1, 0): 1, Place(0, 1): 2, Place(1, 1): 3, Place(1, 3): 3, Place(0, 3): 4},
    poison=frozenset({Place(1, 2), Place(0, 2)}),
    deleted={Lane(0): [4]},
    vectors=VECTORS,
    sites=np.array(["a", "b", "a", "b", "a"], object),
    events=np.arange(5),
)
CLEAN = Verdict(windows=6, rejects_expected=2, gaps=1, gap_offsets=2)


def parts(lost=2, middle=2, last=4):
    return (
        Part(partition=0, first=0, next=2, lost=0),
        Part(partition=0, first=middle, next=last, lost=lost),
        Part(partition=1, first=0, next=4, lost=0),
    )


@pytest.fixture
def found():
    """Return everything as it should be; a test spoils it."""
    numbers = np.array([0, 1, 2, 3, 3])
    offline = Offline(
        sites=np.array(["a", "b", "a", "b", "b"], object),
        events=numbers.copy(),
        created=np.arange(5),
        partitions=np.array([0, 1, 0, 1, 1]),
        offsets=np.array([0, 0, 1, 1, 3]),
        generations=np.zeros(5, int),
        vectors=VECTORS[numbers],
        parts=parts(),
    )
    online = {"a": VECTORS[2], "b": VECTORS[3]}
    return {"sent": {0, 1, 2, 3, 4}, "offline": offline, "online": online, "rejects": [Place(1, 2), Place(1, 2)]}


def rows(offline, chosen):
    columns = ("sites", "events", "created", "partitions", "offsets", "generations", "vectors")
    return replace(offline, **{name: getattr(offline, name)[chosen] for name in columns})


def counts(verdict):
    return {
        name: getattr(verdict, name) for name in Verdict.__slots__ if getattr(verdict, name) != getattr(CLEAN, name)
    }


def test_a_record_delivered_twice_a_reject_written_twice_and_a_gap_that_is_told_are_clean(found):
    assert check(TRUTH, **found) == CLEAN
    assert CLEAN.is_clean


def test_a_window_that_was_shown_before_its_chain_was_overtaken_may_stay_online(found):
    found["online"]["a"] = VECTORS[4]
    assert check(TRUTH, **found) == CLEAN


def test_poison_put_away_before_its_chain_was_overtaken_may_be_told_as_lost_too(found):
    found["rejects"].append(Place(0, 2))
    assert check(TRUTH, **found) == CLEAN


def test_the_reader_s_findings_are_handed_on(found):
    verdict = check(TRUTH, **found, looks=7, backwards=1, versions=(9, 2), readers_wrong=3)
    said = {"looks": 7, "online_backwards": 1, "versions": 9, "versions_doubled": 2, "readers_wrong": 3}
    assert counts(verdict) == said
    assert verdict.wrong == 6


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: f.update(offline=rows(f["offline"], [0, 1, 3, 4])), {"offline_lost": 1, "online_not_history": 1}),
        (lambda f: f.update(offline=rows(f["offline"], [0, 0, 1, 1, 2, 3, 4])), {"offline_duplicated": 2}),
        (lambda f: f["offline"].vectors.__setitem__(1, VECTORS[2]), {"offline_wrong": 1}),
        (lambda f: f["offline"].sites.__setitem__(1, "a"), {"offline_wrong": 1}),
        (lambda f: f["offline"].events.__setitem__(1, 3), {"offline_wrong": 1}),
        (
            lambda f: f.update(offline=replace(f["offline"], parts=parts(lost=0))),
            {"gaps": 0, "gap_offsets": 0, "offline_lost": 1, "rejects_lost": 1, "online_wrong": 1},
        ),
        (lambda f: f.update(offline=replace(f["offline"], parts=parts(lost=1))), {"gap_offsets": 1, "gaps_wrong": 1}),
        (lambda f: f.update(offline=replace(f["offline"], parts=parts(lost=3))), {"gap_offsets": 3, "gaps_wrong": 1}),
        (
            lambda f: f.update(offline=replace(f["offline"], parts=parts(lost=1, middle=3))),
            {"gap_offsets": 1, "chains_broken": 1, "rejects_lost": 1},
        ),
        (lambda f: f["online"].pop("b"), {"online_lost": 1}),
        (lambda f: f["online"].update(a=VECTORS[0]), {"online_wrong": 1, "online_not_history": 1}),
        (lambda f: f["rejects"].clear(), {"rejects_lost": 1}),
        (lambda f: f["rejects"].append(Place(0, 1)), {"rejects_wrong": 1}),
        (lambda f: f["sent"].add(5), {"unsent": 1}),
    ],
)
def test_each_planted_fault_is_counted_as_what_it_is(found, spoil, expected):
    spoil(found)
    verdict = check(TRUTH, **found)
    assert counts(verdict) == expected
    assert verdict.is_clean == (not expected)


def test_a_gap_where_nothing_was_deleted_excuses_nothing(found):
    verdict = check(replace(TRUTH, deleted={}), **found)
    assert counts(verdict) == {"offline_lost": 1, "rejects_lost": 1, "gaps_wrong": 1, "online_wrong": 1}


def test_a_script_follows_from_its_seed_and_each_kind_comes_once_in_its_rounds():
    first = len(EVERY_KIND)
    second = sum(kind.every == 1 for kind in EVERY_KIND)
    script = write_script(3, first + second)
    assert script == write_script(3, first + second)
    assert script != write_script(4, first + second)
    kinds = [timed.fault.kind for timed in script]
    assert len(set(kinds[:first])) == first
    assert len(set(kinds[first:])) == second


def test_reports_are_kept_between_the_markers_in_the_place_of_older_ones(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    one = Recovered(kind="kill -9 of a replica", seconds=1.0, kills_a_reader=True)
    report = write_report(5, [one, replace(one, seconds=2.0)], CLEAN, wall_s=60.0)
    assert "| **all kill -9 of a replica** |  | 2 | 1.5 | 2.0 | 2.0 |" in report
    keep([report, report], page)
    keep([report], page)
    assert page.read_text() == f"before\n{BEGIN}\n{report}{END}\nafter\n"


def test_what_is_passed_over_is_told_as_lost_by_its_part_and_stands_among_the_dead_letters(found):
    """Three offsets behind the last part cannot be unpacked: one letter stands for them."""
    truth = replace(TRUTH, poison=TRUTH.poison | {Place(1, 4)}, skipped=frozenset(Place(1, n) for n in (4, 5, 6)))
    after = [*parts(), Part(partition=1, first=4, next=7, lost=3)]
    found |= {"rejects": [*found["rejects"], Place(1, 4)], "offline": replace(found["offline"], parts=after)}
    assert check(truth, **found) == replace(CLEAN, rejects_expected=3, gaps=2, gap_offsets=5)
    quiet = replace(found["offline"], parts=[*parts(), Part(partition=1, first=4, next=7, lost=2)])
    assert check(truth, **{**found, "offline": quiet}).gaps_wrong == 1
    assert check(truth, **{**found, "rejects": found["rejects"][:-1]}).rejects_lost == 1


def test_of_a_window_and_its_correction_the_one_delivered_last_is_expected_online_and_in_the_history(found):
    truth = replace(TRUTH, events=np.array([0, 1, 2, 1, 4]))  # number 3 corrects number 1, and comes behind it
    found["offline"].events[[3, 4]] = 1
    assert check(truth, **found) == CLEAN
    assert counts(check(truth, **{**found, "online": {**found["online"], "b": VECTORS[1]}})) == {
        "online_wrong": 1,
        "online_not_history": 1,
    }
    found["offline"].created[1] = 9
    assert counts(check(truth, **found)) == {"online_not_history": 1}


ANEW = Truth(
    # Of partition 0, chain and rows end at 2; the record behind it and partition 1, whose chain never began, went with
    # the old topic. The new one has other records at the same offsets.
    windows={
        Place(0, 0): 0,
        Place(0, 1): 1,
        Place(0, 2): 2,
        Place(1, 0): 2,
        Place(0, 0, 1): 3,
        Place(0, 1, 1): 4,
    },
    poison=frozenset({Place(0, 3), Place(0, 2, 1)}),
    deleted={},
    gone={Lane(0): 1, Lane(1): 0},
    vectors=VECTORS,
    sites=np.array(["a", "b", "a", "b", "a"], object),
    events=np.arange(5),
)


@pytest.fixture
def anew():
    """Return what is left of two generations of a topic, as it should be."""
    numbers = np.array([0, 1, 3, 4])
    offline = Offline(
        sites=np.array(["a", "b", "b", "a"], object),
        events=numbers.copy(),
        created=np.arange(4),
        partitions=np.zeros(4, int),
        offsets=np.array([0, 1, 0, 1]),
        generations=np.array([0, 0, 1, 1]),
        vectors=VECTORS[numbers],
        parts=(
            Part(partition=0, first=0, next=2, lost=0),
            Part(partition=0, first=0, next=3, lost=0, generation=1),
        ),
    )
    online = {"a": VECTORS[4], "b": VECTORS[3]}
    return {"sent": set(range(5)), "offline": offline, "online": online, "rejects": [Place(0, 2, 1)]}


def test_what_a_topic_held_behind_its_chains_may_go_with_it_and_the_new_one_has_the_same_offsets_again(anew):
    clean = Verdict(windows=6, rejects_expected=2, unread=2)
    assert clean.is_clean
    assert check(ANEW, **anew) == clean
    put_away = {**anew, "rejects": [*anew["rejects"], Place(0, 3)]}  # before its part was appended
    assert check(ANEW, **put_away) == clean


@pytest.mark.parametrize(
    ("spoil", "amiss"),
    [
        # A row of the old topic is missing within its chain.
        (lambda f: f.update(offline=rows(f["offline"], [1, 2, 3])), {"offline_lost": 1}),
        # And one that was kept after the chain was looked at the last time.
        (lambda f: f.update(offline=rows(f["offline"], [0, 2, 3])), {"offline_lost": 1}),
        # Records of the new topic were passed over, since the reading went on at the old position.
        (
            lambda f: f.update(offline=rows(f["offline"], [0, 1, 3])),
            {"offline_lost": 1, "online_not_history": 1},
        ),
        # A row of the new topic was kept as one of the old one's.
        (
            lambda f: f["offline"].generations.__setitem__(2, 0),
            {"offline_lost": 1, "offline_duplicated": 1, "offline_wrong": 1},
        ),
        (lambda f: f["rejects"].__setitem__(0, Place(0, 2)), {"rejects_lost": 1, "rejects_wrong": 1}),
        (lambda f: f["online"].update(b=VECTORS[1]), {"online_wrong": 1, "online_not_history": 1}),
    ],
)
def test_a_topic_made_anew_excuses_nothing_that_its_chains_had_got_past(anew, spoil, amiss):
    spoil(anew)
    verdict = check(ANEW, **anew)
    names = [name for name in Verdict.__slots__ if name not in {"windows", "rejects_expected", "unread"}]
    assert {name: getattr(verdict, name) for name in names if getattr(verdict, name)} == amiss


def test_a_chain_that_is_gone_with_its_topic_is_lost_as_far_as_it_had_got(anew):
    bare = replace(rows(anew["offline"], [2, 3]), parts=anew["offline"].parts[1:])
    verdict = check(ANEW, **{**anew, "offline": bare})
    assert (verdict.offline_lost, verdict.unread) == (1, 3)


def test_of_two_topics_windows_of_one_event_the_new_one_s_is_expected_online(anew):
    truth = replace(ANEW, events=np.array([0, 3, 2, 3, 4]))  # number 3 of the new topic corrects number 1 of the old
    anew["offline"].events[[1, 2]] = 3
    assert check(truth, **anew).is_clean
    assert check(truth, **{**anew, "online": {**anew["online"], "b": VECTORS[1]}}).online_wrong == 1


def test_each_row_of_the_table_of_errors_is_played_by_some_kind():
    played = {kind.row for kind in EVERY_KIND} - {""}
    assert {getattr(verdicts, row) for row in played} == set(verdicts.TABLE)


def test_what_is_lost_twice_or_wrong_of_a_backfill_is_counted():
    begin_us = 1_000
    expected = EmbeddingBatch(
        space="5" * 64,
        series={"site": np.array(["h0", "h1", "h2"], object)},
        event_us=np.array([10, 20, 30]),
        created_us=stamp_backfill(begin_us, np.arange(3)),
        features={"embedding": VECTORS[:3]},
    )

    def judged(chosen, **changes):
        columns = {
            "site": expected.series["site"][chosen],
            "event_timestamp": expected.event_us[chosen],
            "created": expected.created_us[chosen],
            "embedding": [*VECTORS[chosen]],
        }
        found = judge(pa.table(columns | changes), expected, begin_us)
        return [found[f"backfill_{what}"] for what in ("lost", "duplicated", "wrong")]

    assert judged([2, 0, 1]) == [0, 0, 0]
    assert judged([0, 1]) == [1, 0, 0]
    assert judged([0, 1, 2, 1]) == [0, 1, 0]
    others = {"site": ["h0", "h0", "h2"], "event_timestamp": [10, 20, 31], "embedding": [*VECTORS[[0, 1, 3]]]}
    for name, values in others.items():
        assert judged([0, 1, 2], **{name: values}) == [0, 0, 1]
    for created in (begin_us - 2, begin_us + 1, begin_us + 6):
        assert judged([0, 1, 2], created=[created, begin_us + 2, begin_us + 4]) == [1, 0, 1]
    assert Verdict(windows=1, backfilled=3).is_clean
    assert not any(Verdict(windows=1, **{f"backfill_{what}": 1}).is_clean for what in ("lost", "duplicated", "wrong"))

"""The check of observations finds what is planted, and agrees with a stream that nothing has happened to."""

import json
import random
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.chaos.check import Offline
from tests.chaos.check_observed import NotWarm, check_observed
from tests.chaos.cut import ENDS, cut
from tests.chaos.observations import BAD, Observed, name_of
from tests.chaos.places import Lane, Part, Place
from tests.chaos.quiet import CONTRACT, PARTITIONS, shown, streamed, sums, topic_of
from tests.chaos.windows import POISON
from tests.seed.deadly import ASIDE, DEADLY, ENDLESS
from undertow.observations import streamed_records
from undertow.observations.beginning_anew import begin_anew

BATCHES = 120
CUT = partial(cut, contract=CONTRACT, embed=sums)


@pytest.fixture(scope="module")
def whole():
    content = Observed(5)
    messages = [one for _ in range(BATCHES) for one in content.batch(PARTITIONS)] + content.rest()
    messages += content.probe(PARTITIONS)[0]
    topic = topic_of(messages)
    offline, letters = streamed(topic)
    return topic, offline, letters, {one.number for one in messages if one.number is not None}


@pytest.fixture
def found(whole):
    """Return everything as it should be; a test spoils it."""
    topic, offline, letters, sent = whole
    copied = replace(offline, vectors=offline.vectors.copy(), numbers=offline.numbers.copy())
    return {
        "topic": topic,
        "cut": CUT,
        "offline": copied,
        "letters": [*letters],
        "online": shown(copied),
        "sent": {*sent},
    }


def rows(offline, chosen):
    columns = ("sites", "events", "created", "partitions", "offsets", "generations", "vectors", "numbers")
    return replace(offline, **{name: getattr(offline, name)[chosen] for name in columns})


def amiss(found):
    verdict = check_observed(**found)
    told = {"windows", "observations", "late", "begun_anew", "rejects_expected"}
    return {name: count for name in verdict.__slots__ if name not in told and (count := getattr(verdict, name))}


def test_a_stream_that_nothing_has_happened_to_is_clean_and_holds_some_of_everything(found):
    verdict = check_observed(**found)
    assert amiss(found) == {}
    assert verdict.is_clean
    assert verdict.windows > 1_000
    assert verdict.late > 10
    reasons = {reason for _, reason in found["letters"]}
    assert reasons >= {"late", "not-json", "time", "off-grid", "event-time", "series", "number"}
    sizes = Counter(len(json.loads(value)) for value in found["topic"].records.values() if value.startswith(b"["))
    assert len(sizes) > 3
    closed = Counter(zip(found["offline"].partitions.tolist(), found["offline"].offsets.tolist(), strict=True))
    assert max(closed.values()) > 2


def test_a_message_twice_in_the_topic_is_taken_twice(whole):
    topic = whole[0]
    counts = Counter(topic.numbers.values())
    assert sum(count > 1 for count in counts.values()) > 10


SPOILS = [
    (lambda f: f.update(offline=rows(f["offline"], slice(1, None))), {"offline_lost": 1}),
    (lambda f: f.update(offline=rows(f["offline"], [0, *range(len(f["offline"].events))])), {"offline_duplicated": 1}),
    (lambda f: f["offline"].vectors.__setitem__((7, 0), 9.0), {"offline_wrong": 1}),
    # A value of a window that differs in its last bit, and no vector by which it could be seen.
    (
        lambda f: f["offline"].numbers.__setitem__((7, 3), np.nextafter(f["offline"].numbers[7, 3], np.float32(9))),
        {"offline_wrong": 1},
    ),
    (lambda f: moved(f, 7, "offsets", 1), {"offline_lost": 1, "offline_wrong": 1}),
    (lambda f: moved(f, 7, "events", 1), {"offline_lost": 1, "offline_wrong": 1}),
    (lambda f: moved(f, 7, "partitions", 1), {"offline_lost": 1, "offline_wrong": 1}),
    (lambda f: f["online"].pop(name_of(3)), {"online_lost": 1}),
    (
        lambda f: f["online"].update({name_of(3): f["online"][name_of(4)]}),
        {"online_wrong": 1, "online_not_history": 1},
    ),
    (lambda f: drop(f["letters"], "late"), {"rejects_lost": 1}),
    (lambda f: drop(f["letters"], "not-json"), {"rejects_lost": 1}),
    (lambda f: f["letters"].append((good_place(f), "late")), {"rejects_wrong": 1}),
    (lambda f: relabel(f["letters"], "late", "number"), {"rejects_wrong": 1}),
    (lambda f: f["letters"].append((Place(9, 9), "late")), {"rejects_wrong": 1}),
    (lambda f: f["sent"].add(-1), {"unsent": 1}),
    (lambda f: with_parts(f, lost=3), {"gaps": 1, "gap_offsets": 3, "gaps_wrong": 1}),
    (lambda f: with_parts(f, next=4), {"chains_broken": 1}),
]


def moved(found, row, name, by):
    column = getattr(found["offline"], name).copy()
    column[row] += by
    found["offline"] = replace(found["offline"], **{name: column})


def drop(letters, reason):
    counts = Counter(place for place, _ in letters)
    letters.remove(next(one for one in letters if one[1] == reason and counts[one[0]] == 1))


def relabel(letters, reason, other):
    at = next(number for number, one in enumerate(letters) if one[1] == reason)
    letters[at] = letters[at][0], other


def good_place(found):
    places = {place for place, _ in found["letters"]}
    return next(place for place in found["topic"].records if place not in places)


def with_parts(found, **change):
    first, *others = found["offline"].parts
    middle = first.next // 2
    parts = (
        replace(first, next=change.pop("next", middle)),
        replace(first, first=middle, **change),
        *others,
    )
    found["offline"] = replace(found["offline"], parts=parts)


@pytest.mark.parametrize(("spoil", "expected"), SPOILS)
def test_each_fault_that_is_planted_is_counted_as_what_it_is(found, spoil, expected):
    spoil(found)
    assert amiss(found) == expected


GAP = range(200, 230)


def overtaken(whole, not_warm=None):
    """Everything as a fleet leaves it that reads past a gap: who reads on after it begins with what is held, or not."""
    topic, _, _, sent = whole
    seen = {place: value for place, value in topic.records.items() if place.partition or place.offset not in GAP}
    offline, letters = streamed(replace(topic, records=seen))
    if not_warm is not None:
        behind = {place: value for place, value in seen.items() if not place.partition and place.offset >= GAP.stop}
        before = {place: v for place, v in seen.items() if not place.partition and place.offset < not_warm.first}
        later, later_letters = streamed(replace(topic, records=before | behind))
        kept = (offline.partitions != 0) | (offline.offsets < GAP.stop)
        new = rows(later, later.offsets >= GAP.stop)
        offline = joined(rows(offline, kept), new, offline.parts)
        letters = [one for one in letters if one[0].partition or one[0].offset < GAP.stop]
        letters += [one for one in later_letters if one[0].offset >= GAP.stop]
    end = 1 + max(place.offset for place in topic.records if place.partition == 0)
    parts = [part for part in offline.parts if part.partition]
    parts += [
        Part(partition=0, first=0, next=180, lost=0),
        Part(partition=0, first=180, next=240, lost=len(GAP)),
        Part(partition=0, first=240, next=end, lost=0),
    ]
    offline = replace(offline, parts=tuple(parts))
    told = replace(topic, deleted={Lane(0): [GAP.stop]}, not_warm=[] if not_warm is None else [not_warm])
    return {
        "topic": told,
        "cut": CUT,
        "offline": offline,
        "letters": letters,
        "online": shown(offline),
        "sent": {*sent},
    }


def joined(one, other, parts):
    columns = ("sites", "events", "partitions", "offsets", "generations", "vectors", "numbers")
    both = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in columns}
    return Offline(**both, created=np.arange(len(both["events"])), parts=parts)


def test_windows_behind_a_gap_are_those_of_what_was_read(whole):
    found = overtaken(whole)
    assert amiss(found) == {"gaps": 1, "gap_offsets": len(GAP)}
    assert check_observed(**found).is_clean
    undeleted = {**found, "topic": replace(found["topic"], deleted={})}
    assert check_observed(**undeleted).gaps_wrong == 1
    assert check_observed(**undeleted).offline_lost > 0


def test_who_has_told_that_it_lacks_something_may_lack_just_that(whole):
    told = NotWarm(lane=Lane(0), first=100, upto=GAP.stop)
    found = overtaken(whole, told)
    verdict = check_observed(**found)
    assert verdict.is_clean
    assert verdict.not_warm > 10
    silent = {"topic": replace(found["topic"], not_warm=[])}
    assert check_observed(**{**found, **silent}).offline_lost > 10
    warm = overtaken(whole)["offline"]
    made = {*zip(found["offline"].sites, found["offline"].events, strict=True)}
    keys = enumerate(zip(warm.sites, warm.events, strict=True))
    early = [  # shown by who was killed before its chain had it
        {**found, "online": {**found["online"], key[0]: warm.vectors[row]}} for row, key in keys if key not in made
    ]
    one = next(one for one in early if check_observed(**{**one, **silent}).online_not_history)
    assert check_observed(**one).online_not_history == 0
    other = replace(told, first=190)
    assert not check_observed(**{**found, "topic": replace(found["topic"], not_warm=[other])}).is_clean
    kept = np.flatnonzero((found["offline"].partitions != 0) | (found["offline"].offsets < 600))
    cut_off = {**found, "offline": rows(found["offline"], kept)}
    assert check_observed(**cut_off).offline_lost > 10


def test_what_lay_behind_the_chains_of_a_deleted_topic_is_expected_of_nobody(found):
    ends = {part.partition: part.next for part in found["offline"].parts}
    place = max(place for place in found["topic"].records if place.partition == 0)
    parts = tuple(replace(part, next=300) if part.partition == 0 else part for part in found["offline"].parts)
    seen = (found["offline"].partitions != 0) | (found["offline"].offsets < 300)
    found["offline"] = replace(rows(found["offline"], np.flatnonzero(seen)), parts=parts)
    found["letters"] = [one for one in found["letters"] if one[0].partition or one[0].offset < 300]
    gone = {**found, "topic": replace(found["topic"], gone={Lane(0): 290}), "online": shown(found["offline"])}
    assert place.offset > 300
    assert amiss(gone) == {"unread": ends[0] - 300}
    assert amiss({**gone, "online": found["online"]}) == {"unread": ends[0] - 300}  # shown before its chain had it
    less = {**gone, "offline": rows(gone["offline"], slice(1, None))}
    assert check_observed(**less).offline_lost == 1
    assert found["topic"].records[place] != POISON


def fatal_topic(seed, plants, strewn=0):
    """A topic with values that end who embeds them, as faults plant them and anywhere else in living series."""
    content, chance = Observed(seed), random.Random(seed)
    messages = []
    for value in plants:
        messages += [one for _ in range(20) for one in content.batch(PARTITIONS)]
        messages += content.fatal(PARTITIONS, chance.randrange(PARTITIONS), value)
    messages += [one for _ in range(20) for one in content.batch(PARTITIONS)]
    topic = topic_of(messages)
    records = {**topic.records}
    for place in chance.sample(sorted(place for place in records if place in topic.numbers), strewn):
        found = json.loads(records[place])
        rows = found if isinstance(found, list) else [found]
        good = [row for row in rows if BAD not in row]
        if good:
            chance.choice(good)["flow"] = chance.choice([DEADLY, ENDLESS, ASIDE])
            records[place] = json.dumps(rows).encode()
    return replace(topic, records=records)


@pytest.mark.parametrize("seed", [1, 2])
def test_of_values_that_end_who_embeds_them_it_is_known_which_record_is_refused_and_what_begins_anew(seed):
    topic = fatal_topic(seed, [DEADLY, ENDLESS, ASIDE], strewn=8)
    offline, letters = streamed(topic, seed)
    found = {"topic": topic, "cut": CUT, "offline": offline, "letters": letters, "online": shown(offline)}
    found["sent"] = {*topic.numbers.values()}
    verdict = check_observed(**found)
    assert verdict.is_clean, amiss(found)
    refused = {place: reason for place, reason in letters if reason in ENDS.values()}
    assert verdict.begun_anew == len(refused) > 1
    assert {*refused.values()} == {*ENDS.values()}
    assert "tap" in {reason for _, reason in letters}
    place, reason = next(iter(refused.items()))
    silent = [one for one in letters if one != (place, reason)]
    assert check_observed(**{**found, "letters": silent}).rejects_lost == 1
    other = check_observed(**{**found, "letters": [*silent, (place, "late")]})
    assert (other.rejects_lost, other.rejects_wrong) == (0, 1)


def test_a_series_that_goes_on_with_what_it_had_behind_a_refused_record_is_found(monkeypatch):
    def keep_cells(series, named):
        cells = series.held.cells.copy()
        begun = begin_anew(series, named)
        series.held.cells[:] = cells
        return begun

    monkeypatch.setattr(streamed_records, "begin_anew", keep_cells)
    offline, letters = streamed(topic := fatal_topic(1, [DEADLY] * 6))
    found = {"topic": topic, "cut": CUT, "offline": offline, "letters": letters, "online": shown(offline)}
    assert check_observed(**found, sent={*topic.numbers.values()}).offline_wrong > 0

"""The checker finds what is planted, and the script follows from its seed alone."""

import numpy as np
import pandas as pd
import pytest

from tests.chaos.check import Truth, Verdict, check
from tests.chaos.faults import EVERY_KIND
from tests.chaos.script import write_script

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
TRUTH = Truth(
    windows={(0, 0): 0, (1, 0): 1, (0, 1): 2, (1, 1): 3, (1, 3): 3},  # number 3 was sent twice
    poison=frozenset({(1, 2)}),
    vectors=VECTORS,
    sites=np.array(["a", "b", "a", "b"], object),
)
CLEAN = Verdict(windows=5, rejects_expected=1)


@pytest.fixture
def found():
    """Return everything as it should be; a test spoils it."""
    offline = pd.DataFrame(
        {
            "partition": [0, 1, 0, 1, 1],
            "offset": [0, 0, 1, 1, 3],
            "number": [0, 1, 2, 3, 3],
            "site": ["a", "b", "a", "b", "b"],
            "embedding": [VECTORS[number] for number in (0, 1, 2, 3, 3)],
        }
    )
    online = {"a": VECTORS[2], "b": VECTORS[3]}
    return {"sent": {0, 1, 2, 3}, "offline": offline, "online": online, "rejects": [(1, 2), (1, 2)]}


def counts(verdict):
    return {
        name: getattr(verdict, name) for name in Verdict.__slots__ if getattr(verdict, name) != getattr(CLEAN, name)
    }


def test_a_record_delivered_twice_and_a_reject_written_twice_are_clean(found):
    assert check(TRUTH, **found) == CLEAN
    assert CLEAN.is_clean


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: f.update(offline=f["offline"].drop(index=2)), {"offline_lost": 1}),
        (lambda f: f.update(offline=pd.concat([f["offline"], f["offline"][:2]])), {"offline_duplicated": 2}),
        (lambda f: f["offline"].at.__setitem__((1, "embedding"), VECTORS[2]), {"offline_wrong": 1}),
        (lambda f: f["offline"].at.__setitem__((1, "site"), "a"), {"offline_wrong": 1}),
        (lambda f: f["offline"].at.__setitem__((1, "number"), 3), {"offline_wrong": 1}),
        (lambda f: f["online"].pop("b"), {"online_lost": 1}),
        (lambda f: f["online"].update(a=VECTORS[0]), {"online_wrong": 1}),
        (lambda f: f["rejects"].clear(), {"rejects_lost": 1}),
        (lambda f: f["rejects"].append((0, 1)), {"rejects_wrong": 1}),
        (lambda f: f["sent"].add(4), {"unsent": 1}),
    ],
)
def test_each_planted_fault_is_counted_as_what_it_is(found, spoil, expected):
    spoil(found)
    verdict = check(TRUTH, **found)
    assert counts(verdict) == expected
    assert verdict.is_clean == (not expected)


def test_a_script_follows_from_its_seed_and_each_kind_comes_once_in_a_round():
    each = len(EVERY_KIND)
    script = write_script(3, 2 * each)
    assert script == write_script(3, 2 * each)
    assert script != write_script(4, 2 * each)
    kinds = [timed.fault.kind for timed in script]
    assert len(set(kinds[:each])) == len(set(kinds[each:])) == each

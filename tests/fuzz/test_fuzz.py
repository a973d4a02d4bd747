"""A few seconds of what `make fuzz` does for longer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from fuzz import FORMATS, fuzz, inputs


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_bent_records_become_windows_or_rejects_and_nothing_else(form):
    became = fuzz(form, 2_000, seed=5)
    assert became["window"] > 20
    assert became.total() - became["window"] > 200


def test_the_same_seed_gives_the_same_inputs():
    first, again = inputs(FORMATS[-1], 3), inputs(FORMATS[-1], 3)
    assert [next(first) for _ in range(100)] == [next(again) for _ in range(100)]

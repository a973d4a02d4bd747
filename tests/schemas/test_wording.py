"""Numbers in sentences: one rule for one and for many."""

import pytest

from undertow.schemas.wording import are, between, counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 windows are"), (1, "1 window is"), (2, "2 windows are"), (12_345, "12,345 windows are")]
)
def test_one_is_told_as_one(count, said):
    assert f"{counted(count, 'window')} {are(count)}" == said


@pytest.mark.parametrize(
    ("least", "most", "said"), [(24, 24, "24 steps"), (1, 1, "1 step"), (1, 24, "1 to 24 steps"), (0, 1, "0 to 1 step")]
)
def test_a_range_whose_ends_are_equal_is_one_number(least, most, said):
    assert between(least, most, "step") == said

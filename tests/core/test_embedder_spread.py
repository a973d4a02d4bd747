"""A number that is not finite and spreads over a batch: only the windows that have it alone are refused."""

import numpy as np
import pytest
from torch import Tensor, nn

from tests.core.test_embedder import OVERFLOWS, Model, make, make_windows, reference
from undertow.core.embedder import ALONE


class Spreading(Model):
    """What is not finite in one row is added to every row, and nothing where all rows are finite."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Sequential(self.steps, Mixing())  # type: ignore[assignment]


class Mixing(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + 0 * hidden.mean()


@pytest.mark.parametrize("bad", [[3], [0, 7], [0, 1, 2, 3, 4, 5, 6, 8], list(range(9))])
def test_a_window_that_is_finite_alone_is_embedded_whatever_its_neighbours_hold(bad: list[int]) -> None:
    model, windows = Spreading(), make_windows([5, 4, 5, 5, 12, 5, 5, 5, 3], dict.fromkeys(bad, OVERFLOWS))
    embedded = make(model).embed(windows)
    assert [(fault.row, fault.reason) for fault in embedded.faults] == [(row, "not-finite") for row in bad]
    good = np.setdiff1d(np.arange(9), bad)
    assert embedded.rows.tolist() == good.tolist()
    if len(good):
        np.testing.assert_allclose(
            embedded.embeddings.features["hidden"], reference(model, windows.take(good)), rtol=0, atol=1e-6
        )


def test_a_large_batch_loses_only_the_window_that_is_at_fault() -> None:
    model, windows = Spreading(), make_windows([5] * (3 * ALONE), {50: OVERFLOWS})
    embedded = make(model).embed(windows)
    assert [fault.row for fault in embedded.faults] == [50]


def test_a_flood_of_such_windows_costs_a_bounded_number_of_forwards_more() -> None:
    count = 20 * ALONE
    model, windows = Model(), make_windows([5] * count, dict.fromkeys(range(count), OVERFLOWS))
    embedded = make(model).embed(windows)
    assert (len(embedded.rows), len(embedded.faults)) == (0, count)
    assert len(model.sizes) == 1 + ALONE


def test_finite_batches_and_lone_windows_are_run_once() -> None:
    model = Model()
    embedder = make(model)
    embedder.embed(make_windows([5] * 8))
    embedder.embed(make_windows([5], {0: OVERFLOWS}))
    assert len(model.sizes) == 2

"""Fewer windows than a batch has: beside copies of themselves they are what they are in a batch, to the last bit."""

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from tests.core.test_embedder import OVERFLOWS, RAISES, Model, make, make_windows, reference


class Only(Model):
    """Takes so many windows at once, and no more."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: dict[str, Any]) -> Tensor:
        if len(x["encoder_lengths"]) > self.most:
            message = "too many"
            raise ValueError(message)
        result: Tensor = super().forward(x)
        return result


@pytest.mark.parametrize("most", [1, 3, 5])
def test_a_model_that_takes_a_few_windows_only_is_given_so_many(most: int) -> None:
    model, windows = Only(most), make_windows([5] * 11, {4: OVERFLOWS, 7: RAISES})
    embedder = make(model)
    good = [0, 1, 2, 3, 5, 6, 8, 9, 10]
    for _ in range(2):
        found = embedder.embed(windows)
        assert (found.rows.tolist(), [fault.reason for fault in found.faults]) == (good, ["not-finite", "inputs"])
        expected = reference(model, windows.take(np.array(good)))
        np.testing.assert_allclose(found.embeddings.features["hidden"], expected, rtol=0, atol=1e-6)
    embedder.embed(windows.take(np.array(good)))
    assert 0 < (embedder.max_windows or 0) <= most


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_a_few_windows_are_embedded_as_in_a_large_batch_to_the_last_bit(count: int) -> None:
    model, windows = Model(), make_windows([12] * 64)
    embedder = make(model)
    whole = embedder.embed(windows).embeddings.features["hidden"]
    model.sizes.clear()
    few = embedder.embed(windows.take(np.arange(count))).embeddings.features["hidden"]
    assert model.sizes == [(max(count, 4), 12)]
    assert few.shape == (count, 12)
    np.testing.assert_array_equal(few, whole[:count])

"""Poolings, held against numpy, row by row and without padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers.core.errors import Refused
from workers.core.features import Layout
from workers.core.pooling import align, pool

REFERENCE = {
    "first": lambda steps: steps[0],
    "last": lambda steps: steps[-1],
    "mean": lambda steps: steps.astype(np.float64).mean(axis=0),
    "max": lambda steps: steps.max(axis=0),
    "flatten": lambda steps: steps.reshape(-1),
}
STEPPED = ["first", "last", "mean", "max", "last+mean+max"]


def reference(values: NDArray[np.float32], pools: str, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack(
        [
            np.concatenate([REFERENCE[part](row[:length]) for part in pools.split("+")])
            for row, length in zip(values, lengths, strict=True)
        ]
    )


@settings(deadline=None)
@given(
    st.sampled_from(STEPPED), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 99)
)
def test_padding_has_no_part_in_a_pooled_vector(pools: str, lengths: list[int], channels: int, seed: int) -> None:
    valid = np.array(lengths)
    values = np.random.default_rng(seed).normal(-5, 1, (len(valid), max(lengths), channels)).astype(np.float32)
    expected = reference(values, pools, valid)
    values[np.arange(max(lengths)) >= valid[:, None]] = np.nan
    found = pool(torch.from_numpy(values), pools.split("+"), torch.from_numpy(valid))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pools", [*STEPPED, "flatten", "flatten+mean"])
def test_without_lengths_every_step_counts(pools: str) -> None:
    values = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    found = pool(torch.from_numpy(values), pools.split("+"))
    np.testing.assert_allclose(found.numpy(), reference(values, pools, np.full(4, 6)), rtol=1e-6, atol=1e-6)


def test_the_maximum_of_negative_steps_is_not_the_zero_of_the_padding() -> None:
    values = torch.tensor([[[-3.0], [-2.0], [0.0]], [[-1.0], [-4.0], [-5.0]]])
    assert pool(values, ["max"], torch.tensor([2, 3])).tolist() == [[-2.0], [-1.0]]


def test_a_vector_without_steps_is_taken_as_it_is() -> None:
    values = torch.randn(4, 3, dtype=torch.float64)
    found = pool(values, ["none"])
    assert found.dtype == torch.float32
    assert torch.equal(found, values.float())


@pytest.mark.parametrize(("shape", "pools"), [((4, 3), ["last"]), ((4, 5, 3), ["none"]), ((4, 5, 3, 2), ["mean"])])
def test_a_pooling_that_does_not_fit_the_shape_is_refused(shape: tuple[int, ...], pools: list[str]) -> None:
    with pytest.raises(Refused, match="does not fit a hidden state of shape"):
        pool(torch.zeros(shape), pools)


def test_windows_of_several_lengths_are_not_flattened() -> None:
    with pytest.raises(Refused, match="needs windows of one length"):
        pool(torch.zeros(2, 3, 1), ["flatten"], torch.tensor([1, 3]))


def test_a_tap_that_begins_a_step_later_has_a_step_less_in_every_window() -> None:
    hidden = torch.zeros(2, 4, 3)
    _, valid = align(hidden, Layout(batch_axis=0, time_axis=1, steps=-1, size=3), torch.tensor([3, 5]), 5)
    assert valid is not None
    assert valid.tolist() == [2, 4]


def test_decoder_steps_behind_the_encoders_are_left_out() -> None:
    hidden = torch.arange(14.0).reshape(2, 7, 1)
    aligned, valid = align(hidden, Layout(batch_axis=0, time_axis=1, steps=2, size=1), torch.tensor([3, 5]), 5)
    assert torch.equal(aligned, hidden[:, :5])
    assert valid is not None
    assert valid.tolist() == [3, 5]


def test_windows_are_put_first_where_time_is() -> None:
    hidden = torch.randn(5, 2, 3)  # (t, n, c)
    aligned, _ = align(hidden, Layout(batch_axis=1, time_axis=1, steps=0, size=3), None, 5)
    assert torch.equal(aligned, hidden.transpose(0, 1))


def test_another_number_of_steps_than_when_packed_is_refused() -> None:
    with pytest.raises(Refused, match=r"expected a hidden state of 4 steps for windows of 5"):
        align(torch.zeros(2, 5, 3), Layout(batch_axis=0, time_axis=1, steps=-1, size=3), None, 5)

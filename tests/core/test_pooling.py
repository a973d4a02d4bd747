"""Poolings, held against numpy, row by row and without padding."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.core.features import Feature, Layout, Pooling
from undertow.core.pooling import align, pool

REFERENCE = {
    "first": lambda steps: steps[0],
    "last": lambda steps: steps[-1],
    "mean": lambda steps: steps.astype(np.float64).mean(axis=0),
    "max": lambda steps: steps.max(axis=0),
    "flatten": lambda steps: steps.reshape(-1),
}
STEPPED = ["first", "last", "mean", "max"]
ENDS = st.none() | st.integers(-11, 11)
PARTS = st.builds(Pooling, pool=st.sampled_from(STEPPED), start=ENDS, stop=ENDS)


def parse(text: str) -> tuple[Pooling, ...]:
    return Feature.parse(f"rnn:{text}").pools


def reference(values: NDArray[np.float32], parts: Sequence[Pooling], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    def take(part: Pooling, steps: NDArray[np.float32]) -> NDArray[np.float64]:
        taken = steps[part.start : part.stop]
        return REFERENCE[part.pool](taken) if len(taken) or part.pool == "flatten" else np.full(steps.shape[1], np.nan)

    return np.stack(
        [
            np.concatenate([take(part, row[:length]) for part in parts])
            for row, length in zip(values, lengths, strict=True)
        ]
    )


def make(lengths: list[int], channels: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(-5, 1, (len(lengths), max(lengths), channels)).astype(np.float32)


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=3), LENGTHS, st.integers(1, 4), st.integers(0, 99))
def test_a_slice_of_each_rows_own_steps_is_pooled_and_padding_has_no_part_in_it(
    parts: list[Pooling], lengths: list[int], channels: int, seed: int
) -> None:
    valid, values = np.array(lengths), make(lengths, channels, seed)
    expected = reference(values, parts, valid)
    values[np.arange(max(lengths)) >= valid[:, None]] = np.nan
    found = pool(torch.from_numpy(values), parts, torch.from_numpy(valid))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 5), st.booleans(), LENGTHS, st.integers(0, 99))
def test_a_slice_that_every_row_has_is_flattened(count: int, is_end: bool, lengths: list[int], seed: int) -> None:
    lengths = [length + count for length in lengths]
    valid, values = np.array(lengths), make(lengths, 2, seed)
    parts = [Pooling(pool="flatten", start=-count) if is_end else Pooling(pool="flatten", stop=count)]
    expected = reference(values, parts, valid)
    values[np.arange(max(lengths)) >= valid[:, None]] = np.nan
    found = pool(torch.from_numpy(values), parts, torch.from_numpy(valid))
    np.testing.assert_array_equal(found.numpy(), expected)


WHOLE = ["first", "last[1:3]", "mean+max[-2:]", "flatten", "flatten[-4:]+mean[:2]", "max[6:]+last[:-6]"]


@pytest.mark.parametrize("text", WHOLE)
def test_without_lengths_every_step_counts(text: str) -> None:
    values, parts = make([6] * 4, 3, 0), parse(text)
    expected = reference(values, parts, np.full(4, 6))
    np.testing.assert_allclose(pool(torch.from_numpy(values), parts).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_a_slice_is_read_from_its_text() -> None:
    assert parse("mean[-8:]+last") == (Pooling(pool="mean", start=-8), Pooling(pool="last"))
    assert parse("max[:12]+first[2:5]") == (Pooling(pool="max", stop=12), Pooling(pool="first", start=2, stop=5))
    assert str(Feature.parse("rnn#1[0]:mean[-8:]+last")) == "rnn#1[0]:mean[-8:]+last"


@pytest.mark.parametrize("text", ["mean[3]", "mean[::2]", "mean[a:]", "mean[", "mean[1:2", "last+"])
def test_a_text_that_is_no_slice_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"expected a pooling with or without a slice of steps, such as mean\[-8:\]"):
        parse(text)


def test_a_vector_has_no_steps_to_slice() -> None:
    with pytest.raises(Refused, match="no steps to slice"):
        parse("none[1:]")


def test_the_maximum_of_negative_steps_is_not_the_zero_of_the_padding() -> None:
    values = torch.tensor([[[-3.0], [-2.0], [0.0]], [[-1.0], [-4.0], [-5.0]]])
    assert pool(values, parse("max"), torch.tensor([2, 3])).tolist() == [[-2.0], [-1.0]]


def test_a_vector_without_steps_is_taken_as_it_is() -> None:
    values = torch.randn(4, 3, dtype=torch.float64)
    found = pool(values, parse("none"))
    assert found.dtype == torch.float32
    assert torch.equal(found, values.float())


@pytest.mark.parametrize(("shape", "text"), [((4, 3), "last"), ((4, 5, 3), "none"), ((4, 5, 3, 2), "mean")])
def test_a_pooling_that_does_not_fit_the_shape_is_refused(shape: tuple[int, ...], text: str) -> None:
    with pytest.raises(Refused, match="does not fit a hidden state of shape"):
        pool(torch.zeros(shape), parse(text))


def test_windows_of_several_lengths_are_not_flattened() -> None:
    with pytest.raises(Refused, match="needs as many steps of every window"):
        pool(torch.zeros(2, 3, 1), parse("flatten"), torch.tensor([1, 3]))


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

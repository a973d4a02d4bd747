"""The exact PCA of batches, held against numpy's SVD of all vectors at once."""

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from undertow.artifact.pack.principal import Components, Moments, find_components

Array = NDArray[Any]


def fit(vectors: Array, batches: int = 7) -> Components:
    parts = [part for part in np.array_split(vectors, batches) if len(part)]
    return find_components(reduce(Moments.merge, map(Moments.of, parts)))


def svd(vectors: Array) -> tuple[Array, Array]:
    values = vectors.astype(np.float64)
    _, sizes, rows = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return rows, sizes**2 / (sizes**2).sum()


def degrees(found: Array, expected: Array) -> float:
    """Return the largest angle between the spaces that the first 1, 2, ... components span."""
    worst = 0.0
    for count in range(1, len(found) + 1):
        rest = found[:count] - found[:count] @ expected[:count].T @ expected[:count]  # exact also for small angles
        worst = max(worst, float(np.linalg.norm(rest, 2)))
    return float(np.degrees(np.arcsin(min(worst, 1.0))))


def walks(rows: int = 4000, size: int = 24) -> Array:
    """Vectors that drift with time, as those of a history do: each batch has other directions than the whole."""
    draw = np.random.default_rng(5)
    drift = np.cumsum(draw.normal(size=(rows, size)) * 0.05, axis=0)
    season = np.sin(np.arange(rows)[:, None] / 300 + np.arange(size)) * np.linspace(1, 0.2, size)
    return (drift + season + draw.normal(size=(rows, size)) * 0.1).astype(np.float32)


def dull(vectors: Array) -> Array:
    vectors = vectors.copy()
    vectors[:, ::3] = 7.25
    return vectors


@pytest.mark.parametrize("kept", [1, 4, 8, 12])
@pytest.mark.parametrize(
    "vectors",
    [
        walks(),
        walks() * 0.01 + np.float32(1000.0),  # a large mean around which little varies
        (walks() + np.float32(1e6)).astype(np.float32),
        walks() * np.geomspace(1, 1e-4, 24, dtype=np.float32),  # channels of very different size
        walks(16),  # fewer vectors than channels
        dull(walks()),  # constant channels
    ],
    ids=["drift", "mean", "far", "sizes", "few", "constant"],
)
def test_components_are_those_of_the_whole_in_any_order(vectors: Array, kept: int) -> None:
    expected, explained = svd(vectors)
    shuffled = np.random.default_rng(1).permutation(vectors)
    for order in (vectors, vectors[::-1], shuffled):
        found = fit(order)
        assert degrees(found.directions[:kept], expected[:kept]) < 0.1
        np.testing.assert_allclose(found.explained[:kept], explained[:kept], rtol=1e-6)
    np.testing.assert_allclose(fit(shuffled).directions[:kept], fit(vectors).directions[:kept], rtol=0, atol=1e-7)


@given(st.lists(st.integers(0, 59), unique=True, max_size=9), st.integers(0, 9))
def test_however_the_vectors_are_cut_the_moments_are_the_same(places: list[int], seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(3.0, 2.0, (60, 5)).astype(np.float32)
    parts = [Moments.of(part) for part in np.split(vectors, sorted(places)) if len(part)]
    left, right = reduce(Moments.merge, parts), reduce(lambda a, b: b.merge(a), parts)
    whole = vectors.astype(np.float64)
    for found in (left, right):
        assert found.count == 60
        np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(found.scatter, np.cov(whole.T) * 59, rtol=1e-11, atol=1e-11)


def test_no_component_is_made_up_where_nothing_varies() -> None:
    line = np.outer(np.arange(9), [3.0, 0.0, 4.0]).astype(np.float32)
    found = fit(line)
    np.testing.assert_allclose(found.directions, [[0.6, 0, 0.8]], atol=1e-12)
    np.testing.assert_allclose(found.explained, [1.0])
    for same in (np.full((9, 3), 0.1, np.float32), line[:1]):
        assert find_components(Moments.of(same)).directions.shape == (0, 3)
    assert len(fit(walks(16)).directions) == 15


def test_the_first_of_the_largest_loadings_is_positive() -> None:
    """Two loadings of one size: rounding may make either the larger one, and must not choose the sign."""
    draw = np.random.default_rng(0)
    lengths = draw.normal(size=(500, 1)) * 9
    for noise in range(9):
        small = np.random.default_rng(noise).normal(size=(500, 2)) * 1e-9
        first = find_components(Moments.of(lengths * [1.0, -1.0] + small)).directions[0]
        np.testing.assert_allclose(first, [0.5**0.5, -(0.5**0.5)], atol=1e-6)


def test_components_that_explain_the_same_span_the_same() -> None:
    """No single one of them is determined; what they span is, their length, and the answer to the same question."""
    corners = np.concatenate([np.eye(4), -np.eye(4)]).astype(np.float32) * [5, 5, 1, 1]
    found = fit(corners, 3)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.directions[:2, :2], axis=1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(fit(corners, 3).directions, found.directions)

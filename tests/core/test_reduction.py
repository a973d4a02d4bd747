"""What becomes of pooled vectors, held against numpy; and the text that asks for it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from undertow.core.errors import Refused
from undertow.core.features import Feature, Layout, Tap, TappedFeature, name_features
from undertow.core.reduction import Reduction, check_reductions, reduce

PLAIN = Feature.parse("rnn:last")


def random_reduction(size: int, left: int) -> Reduction:
    draw = torch.Generator().manual_seed(size)
    rows, _ = torch.linalg.qr(torch.randn(size, size, generator=draw))
    return Reduction(mean=torch.randn(size, generator=draw), components=rows[:left])


@given(st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_vectors_are_projected_and_then_normalised(left: int, is_unit: bool, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(5, 6)).astype(np.float32)
    reduction = random_reduction(6, left)
    expected = (values.astype(float) - reduction.mean.numpy()) @ reduction.components.double().numpy().T
    if is_unit:
        expected /= np.sqrt((expected**2).sum(axis=1, keepdims=True))
    found = reduce(torch.from_numpy(values), Feature(tap=PLAIN.tap, pca=left, l2=is_unit), reduction)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_vector_without_length_stays_zero_among_others() -> None:
    found = reduce(torch.tensor([[0.0, 0.0], [3.0, -4.0], [0.0, 1e-20]]), Feature.parse("rnn:last,l2"), None)
    np.testing.assert_allclose(found.numpy(), [[0, 0], [0.6, -0.8], [0, 1]], rtol=1e-6)


def test_without_a_wish_vectors_are_left_as_they_are() -> None:
    values = torch.randn(3, 4)
    assert reduce(values, PLAIN, None) is values


@pytest.mark.parametrize("reduction", [None, random_reduction(6, 3), random_reduction(5, 2)])
def test_fitted_numbers_that_are_missing_or_of_another_size_are_refused(reduction: Reduction | None) -> None:
    one = TappedFeature(name="hidden", feature=Feature.parse("rnn:last,pca=2"), layout=Layout(batch_axis=0, size=6))
    assert one.size == 2
    with pytest.raises(Refused, match=r"fitted components of the shape \(2, 6\), found"):
        check_reductions([one], {} if reduction is None else {"hidden": reduction})


@pytest.mark.parametrize("text", ["rnn#0:auto,pca=32,l2", "rnn#0:last+mean[-8:],pca=4", "a.b#2[1]:max,l2"])
def test_the_text_of_a_reduction_reads_back(text: str) -> None:
    assert str(Feature.parse(text)) == text


def test_a_reduction_needs_no_pooling() -> None:
    assert Feature.parse("rnn[0],pca=2") == Feature(tap=Tap(path="rnn", select=(0,)), pca=2)


@pytest.mark.parametrize("text", ["rnn:last,l2,pca=3", "rnn,pca=0", "rnn:mean,pca=3,", "rnn:mean,l2,l2", "rnn,tsne=2"])
def test_other_reductions_and_another_order_are_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"normalised after, never before.*t-SNE can place no new window"):
        Feature.parse(text)


def test_features_are_named_before_the_first_equals_sign_or_not_at_all() -> None:
    texts = ["hidden=rnn:last,pca=3", "fc:none"]
    assert name_features(texts) == {"hidden": "rnn:last,pca=3", "embedding": "fc:none"}
    assert name_features(["rnn:last,pca=3"]) == {"embedding": "rnn:last,pca=3"}


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(Refused, match="found a second one for embedding"):
        name_features(["rnn:last", "rnn:mean"])

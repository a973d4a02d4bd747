"""The embedder over a small recurrent model, held against the same model run row by row without hooks."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from undertow.core.embedder import Embedder
from undertow.core.errors import Refused, Unavailable
from undertow.core.features import Feature, Layout, TappedFeature
from undertow.core.forwards import cut
from undertow.core.preprocessing import Preprocessing, Real, Target
from undertow.core.scalers import FixedScaler
from undertow.schemas.windows import WindowBatch

A, B = FixedScaler(center=1.0, scale=2.0), FixedScaler(center=-0.5, scale=0.25)
PREPROCESSING = Preprocessing(
    max_encoder_length=12,
    prediction_length=2,
    reals=(Real(name="a", role="target", scaler=A), Real(name="b", role="unknown", scaler=B)),
    categoricals=(),
    targets=(Target(name="a", scaler=A, reported=A),),
    several_targets=False,
    groups=(None,),
    encoders=(),
)
RAISES, OVERFLOWS = 500.0, 700.0  # what a poisonous window holds in its first `b`


class PanicError(BaseException):
    """As bindings of native code raise it: no `Exception`."""


class Model(nn.Module):
    """Raises on some windows, overflows on others, and has memory for `room` windows."""

    def __init__(self, room: int = 1 << 30) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.LSTM(2, 5, batch_first=True)
        self.steps = nn.Linear(5, 4)
        self.final = nn.Linear(4, 3)
        self.room, self.sizes, self.broken = room, list[tuple[int, int]](), False
        self.error: type[BaseException] = IndexError

    def forward(self, x: dict[str, Any]) -> Tensor:
        values, lengths = x["encoder_cont"], x["encoder_lengths"]
        self.sizes.append((values.shape[0], values.shape[1]))
        if values.shape[0] > self.room:
            raise torch.cuda.OutOfMemoryError
        first = values[:, 0, 1] * B.scale + B.center
        if self.broken or bool(torch.isclose(first, torch.tensor(RAISES)).any()):
            message = "index out of range"
            raise self.error(message)
        out, _ = self.rnn(pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False))
        overflow = torch.where(torch.isclose(first, torch.tensor(OVERFLOWS)), torch.nan, 0.0)[:, None, None]
        hidden = self.steps(pad_packed_sequence(out, batch_first=True)[0] + overflow)  # its bias makes padding non-zero
        result: Tensor = self.final(hidden[:, -1])
        return result


def feature(name: str, text: str, size: int, steps: int | None = 0) -> TappedFeature:
    layout = Layout(batch_axis=0, time_axis=None if text.endswith(":none") else 1, steps=steps, size=size)
    return TappedFeature(name=name, feature=Feature.parse(text), layout=layout)


HIDDEN = feature("hidden", "steps:last+mean+max", 12)


def make_windows(lengths: list[int], poison: dict[int, float] | None = None) -> WindowBatch:
    rng, sizes = np.random.default_rng(7), np.array(lengths, np.int64)
    past: dict[str, Any] = {name: rng.normal(size=int(sizes.sum())) for name in ("a", "b")}
    batch = WindowBatch(
        series={"watch": np.array([f"w{i}" for i in range(len(sizes))], object), "lap": np.arange(len(sizes))},
        end_us=np.arange(len(sizes), dtype=np.int64) * 10,
        lengths=sizes,
        past=past,
        future={},
        static={},
    )
    for row, value in (poison or {}).items():
        past["b"][batch.starts[row]] = value
    return batch


def make(model: nn.Module, *features: TappedFeature) -> Embedder:
    return Embedder(
        model=model,
        features=features or (HIDDEN,),
        preprocessing=PREPROCESSING,
        space="f" * 64,
        sample=make_windows([3, 5]),
    )


def reference(model: Model, windows: WindowBatch) -> NDArray[np.float64]:
    """Scale, run and pool each window alone, by hand."""
    rows = []
    for row in range(len(windows)):
        steps = slice(windows.starts[row], windows.starts[row + 1])
        a, b = windows.past["a"][steps].astype(float), windows.past["b"][steps].astype(float)
        scaled = np.stack([(a - A.center) / A.scale, (b - B.center) / B.scale], axis=1).astype(np.float32)
        with torch.inference_mode():
            hidden = model.steps(model.rnn(torch.from_numpy(scaled)[None])[0])[0].double().numpy()
        rows.append(np.concatenate([hidden[-1], hidden.mean(axis=0), hidden.max(axis=0)]))
    return np.stack(rows)


def test_windows_of_any_length_are_embedded_as_each_would_be_alone() -> None:
    model, windows = Model(), make_windows([3, 12, 1, 7, 12, 2])
    embedded = make(model).embed(windows)
    found = embedded.embeddings.features["hidden"]
    assert (found.dtype, found.flags.c_contiguous, embedded.faults) == (np.float32, True, ())
    np.testing.assert_allclose(found, reference(model, windows), rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_order_and_company_move_no_vector(lengths: list[int], random: Any) -> None:
    embedder, windows = make(Model()), make_windows(lengths)
    order = np.array(random.sample(range(len(lengths)), len(lengths)))
    whole = embedder.embed(windows).embeddings.features["hidden"]
    shuffled = embedder.embed(windows.take(order)).embeddings.features["hidden"]
    alone = np.concatenate(
        [embedder.embed(windows.take(np.array([row]))).embeddings.features["hidden"] for row in range(len(lengths))]
    )
    np.testing.assert_allclose(shuffled, whole[order], rtol=0, atol=1e-6)
    np.testing.assert_allclose(alone, whole, rtol=0, atol=1e-6)


def test_keys_travel_with_their_vectors() -> None:
    windows = make_windows([3, 4])
    found = make(Model()).embed(windows).embeddings
    assert found.space == "f" * 64
    assert {name: ids.tolist() for name, ids in found.series.items()} == {"watch": ["w0", "w1"], "lap": [0, 1]}
    assert found.event_us.tolist() == [0, 10]


def test_an_empty_batch_gives_empty_vectors_of_the_right_size_and_runs_no_forward() -> None:
    model = Model()
    embedded = make(model).embed(make_windows([]))
    assert embedded.embeddings.features["hidden"].shape == (0, 12)
    assert (len(embedded.rows), embedded.faults, model.sizes) == (0, (), [])


@pytest.mark.parametrize("value", [RAISES, OVERFLOWS])
def test_a_poisonous_window_is_a_fault_and_the_others_are_embedded(value: float) -> None:
    model, windows = Model(), make_windows([5, 5, 3, 5, 5], {3: value})
    embedded = make(model).embed(windows)
    assert embedded.rows.tolist() == [0, 1, 2, 4]
    assert embedded.embeddings.event_us.tolist() == [0, 10, 20, 40]
    expected = reference(model, windows.take(embedded.rows))
    np.testing.assert_allclose(embedded.embeddings.features["hidden"], expected, rtol=0, atol=1e-6)
    assert [(fault.row, fault.reason) for fault in embedded.faults] == [
        (3, "inputs" if value == RAISES else "not-finite")
    ]


def test_a_window_at_which_native_code_panics_is_a_fault_too_and_what_asks_the_program_to_end_ends_it() -> None:
    model = Model()
    embedder, windows = make(model), make_windows([5, 5, 5], {1: RAISES})
    model.error = PanicError
    embedded = embedder.embed(windows)
    assert embedded.rows.tolist() == [0, 2]
    assert embedded.faults[0].detail == "the model fails on this window: PanicError: index out of range"
    model.error = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        embedder.embed(windows)


def test_a_fault_says_what_was_found() -> None:
    faults = make(Model()).embed(make_windows([4, 4, 4], {0: RAISES, 2: OVERFLOWS})).faults
    assert faults[0].detail == "the model fails on this window: IndexError: index out of range"
    assert faults[1].detail == "expected finite numbers, found others in hidden (steps#0:last+mean+max)"


def test_a_fault_in_the_inputs_keeps_its_place_among_the_others() -> None:
    windows = make_windows([2, 2, 2, 2], {1: np.inf, 3: RAISES})
    embedded = make(Model()).embed(windows)
    assert [fault.row for fault in embedded.faults] == [1, 3]
    assert embedded.rows.tolist() == [0, 2]


def test_a_model_that_fails_on_good_windows_too_blames_none_of_them() -> None:
    model = Model()
    embedder = make(model)
    model.broken = True
    with pytest.raises(IndexError, match="index out of range"):
        embedder.embed(make_windows([4, 4]))


def test_a_batch_that_does_not_fit_the_memory_is_halved_and_the_size_remembered() -> None:
    model, windows = Model(room=4), make_windows([5] * 8)
    embedder = make(model)
    np.testing.assert_allclose(
        embedder.embed(windows).embeddings.features["hidden"], reference(model, windows), rtol=0, atol=1e-6
    )
    model.sizes.clear()
    embedder.embed(windows)
    assert max(model.sizes)[0] <= model.room


def test_no_memory_for_a_single_window_can_be_tried_again() -> None:
    with pytest.raises(Unavailable, match="no memory for the forward of one window"):
        make(Model(room=0)).embed(make_windows([5, 5]))


def test_a_tap_that_is_not_as_it_was_when_packed_is_no_fault_of_a_window() -> None:
    with pytest.raises(Refused, match="expected a hidden state of 1 step for windows of 3"):
        make(Model(), feature("hidden", "steps:last", 4, steps=-2)).embed(make_windows([5, 5]))


def test_a_vector_of_another_size_than_when_packed_is_refused() -> None:
    with pytest.raises(Refused, match=r"expected 7 dimensions of hidden \(steps#0:last\).*found the shape \(1, 4\)"):
        make(Model(), feature("hidden", "steps:last", 7)).embed(make_windows([5, 5]))


def test_several_features_come_of_one_forward() -> None:
    model = Model()
    found = make(model, feature("early", "steps:mean", 4), feature("late", "final:none", 3, steps=None)).embed(
        make_windows([4, 4, 4])
    )
    assert {name: array.shape for name, array in found.embeddings.features.items()} == {"early": (3, 4), "late": (3, 3)}
    assert len(model.sizes) == 1


def test_four_threads_share_one_embedder() -> None:
    model = Model()
    embedder = make(model)
    batches = [make_windows([3 + k, 12, 2 + k]) for k in range(4)]
    expected = [reference(model, batch) for batch in batches]

    def work(k: int) -> float:
        found = [embedder.embed(batches[k]).embeddings.features["hidden"] for _ in range(20)]
        return max(float(np.abs(one - expected[k]).max()) for one in found)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) <= 1e-6


def test_four_threads_and_two_embedders_on_one_model_never_exchange_hidden_states() -> None:
    model = Model()
    first = feature("first", "steps:first", 4)
    embedders = [make(model), make(model, first)]
    batches = [make_windows([3 + k, 12, 2 + k]) for k in range(4)]
    expected = [embedders[k % 2].embed(batches[k]).embeddings.features for k in range(4)]
    np.testing.assert_allclose(expected[0]["hidden"], reference(model, batches[0]), rtol=0, atol=1e-6)

    def work(k: int) -> bool:
        found = [embedders[k % 2].embed(batches[k]).embeddings.features for _ in range(40)]
        return all(np.array_equal(one[name], expected[k][name]) for one in found for name in expected[k])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_closed_embedder_leaves_no_hook() -> None:
    model = Model()
    make(model).close()
    assert not any(module._forward_hooks for module in model.modules())


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=200), st.integers(1, 400))
def test_each_row_is_in_one_chunk_and_chunks_are_within_their_size(lengths: list[int], most: int) -> None:
    sizes = np.array(lengths, np.int64)
    chunks = list(cut(sizes, most))
    assert sorted(row for chunk in chunks for row in chunk.tolist()) == list(range(len(lengths)))
    for chunk in chunks:
        cost = int(sizes[chunk].max()) * len(chunk)
        assert len(chunk) == 1 or cost <= most
        assert (cost - int(sizes[chunk].sum())) * 2 <= most


def test_windows_of_one_length_are_one_chunk_in_their_order() -> None:
    (chunk,) = cut(np.full(256, 24), 8192)
    assert chunk.tolist() == list(range(256))


def test_many_short_windows_are_not_padded_to_a_long_one() -> None:
    assert [len(chunk) for chunk in cut(np.array([1] * 300 + [96]), 8192)] == [300, 1]

"""The worked examples: what each gives through pack and load, against the plain module run on one window at a time.

And the three mistakes that they correct, made on purpose.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_forecasting
import torch
from pytorch_forecasting import TemporalFusionTransformer
from torch import Tensor, nn

from tests.packing import pack
from undertow.artifact.load.loader import load
from undertow.schemas.windows import WindowBatch

pytestmark = pytest.mark.filterwarnings("ignore:Attribute '.*' is an instance of", "ignore:.*num_workers")

TESTS = Path(__file__).parents[1]
LENGTHS = [24, 9, 4, 17, 24, 12, 5, 23, 8, 24, 6, 11]


@pytest.fixture(scope="module")
def seed() -> Iterator[Any]:
    """`seed.train`, as `PYTHONPATH=tests` finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TESTS)
        from seed import train  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        yield train
    for name in [name for name in sys.modules if name.partition(".")[0] == "seed"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def made(seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[nn.Module, Path]]:
    """Return a function that trains an example once, and gives it as training left it, and its TOML."""
    folder = tmp_path_factory.mktemp("seed")
    models: dict[str, nn.Module] = {}

    def make(name: str) -> tuple[nn.Module, Path]:
        if name not in models:
            models[name] = seed.train(name, folder)
        return models[name], folder / f"{name}.toml"

    return make


@pytest.fixture(scope="module")
def windows(seed: Any) -> Callable[[list[int]], tuple[WindowBatch, list[Tensor]]]:
    """Return a function that cuts windows of these lengths, as they are sent, and scaled as in training."""

    def cut(lengths: list[int]) -> tuple[WindowBatch, list[Tensor]]:
        weather = seed.make_weather(sum(lengths), seed=7)
        batch = WindowBatch(
            series={"site": np.array([f"s{row}" for row in range(len(lengths))], object)},
            end_us=np.arange(len(lengths)),
            lengths=np.array(lengths),
            past=dict(zip(["temperature", "wind", "load"], weather.T, strict=True)),
            future={},
            static={},
        )
        return batch, list(torch.split(seed.scale(weather), lengths))

    return cut


def embed(toml: Path, folder: Path, batch: WindowBatch, **taps: str) -> Any:
    pack(toml, folder / "a", name="weather", taps=taps, code=["seed"])
    found = load(folder / "a", code=["seed"]).embed(batch)
    assert found.faults == ()
    return found.embeddings.features


def close(found: Any, expected: list[Tensor]) -> None:
    np.testing.assert_allclose(found, torch.stack(expected).numpy(), rtol=0, atol=1e-6)


# Example 1: an LSTM --------------------------------------------------------------------------------------------------


def test_the_lstms_last_valid_step_is_its_state_after_the_windows_own_end(made, windows, tmp_path) -> None:
    model, toml = made("lstm")
    assert model.training
    batch, alone = windows(LENGTHS)
    found = embed(toml, tmp_path, batch, hidden="lstm:last")["hidden"]
    with torch.inference_mode():
        lstm = model.lstm.eval()
        expected = [lstm(one[None])[1][0][-1, 0] for one in alone]  # h_n of the last layer
        model.lstm.train()
    close(found, expected)


def test_the_first_output_is_the_sequence_and_its_last_column_is_padding_in_all_shorter_windows(made, windows) -> None:
    model, _ = made("lstm")
    _, alone = windows(LENGTHS)
    padded = nn.utils.rnn.pad_sequence(alone, batch_first=True)
    captured: list[Tensor] = []
    handle = model.lstm.register_forward_hook(lambda _, __, output: captured.append(output[0]))
    model.eval()(padded, torch.tensor(LENGTHS))
    handle.remove()
    (sequence,) = captured
    assert sequence.shape == (12, 24, 16)  # no vector of a window
    assert sequence.requires_grad  # and it keeps the whole graph alive
    right = torch.stack([model.lstm(one[None])[1][0][-1, 0] for one in alone])
    wrong = (sequence[:, -1] - right).abs().amax(1) > 1e-6
    assert wrong.tolist() == [length < 24 for length in LENGTHS]
    assert int(wrong.sum()) == 9


def test_the_last_column_of_a_bidirectional_lstm_is_not_its_backward_state_in_any_window() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 8, batch_first=True, bidirectional=True)
    with torch.inference_mode():
        steps, (state, _) = lstm(torch.randn(6, 24, 3))
    assert ((steps[:, -1, 8:] - state[-1]).abs().amax(1) > 1e-3).all()
    torch.testing.assert_close(steps[:, 0, 8:], state[-1])


# Example 2: a Conv1d net ---------------------------------------------------------------------------------------------


def test_feature_maps_are_pooled_over_time_before_the_relu_that_works_in_place(made, windows, tmp_path) -> None:
    model, toml = made("conv")
    batch, alone = windows([24] * 6)
    found = embed(toml, tmp_path, batch, first="conv1:mean+max", second="conv2:mean", highest="conv1:max")
    with torch.inference_mode():
        maps = [model.conv1(one.T[None])[0] for one in alone]  # (c, t), nothing has overwritten them
        deeper = [model.conv2(one.relu()[None])[0] for one in maps]
    assert all((one < 0).any() for one in maps)
    close(found["first"], [torch.cat([one.mean(1), one.amax(1)]) for one in maps])
    close(found["highest"], [one.amax(1) for one in maps])
    close(found["second"], [one.mean(1) for one in deeper])


def test_a_linear_layer_sized_without_the_steps_does_not_run_and_leaves_its_hooks(made, windows) -> None:
    model, _ = made("conv")
    _, alone = windows([24] * 6)
    batch = torch.stack(alone).transpose(1, 2)
    broken = type(model)(columns=3, channels=8, length=7)  # as if one step were left: 16 channels in all
    assert broken.fc.in_features == 16
    for _ in range(4):  # hooked anew for each batch, removed after it
        with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(6x288 and 16x1\)"):  # noqa: PT012
            handle = broken.conv1.register_forward_hook(lambda *_: None)
            broken(batch)
            handle.remove()
    assert len(broken.conv1._forward_hooks) == 4


def test_what_a_hook_keeps_is_overwritten_by_the_relu_behind_it(made, windows) -> None:
    model, _ = made("conv")
    _, alone = windows([24] * 6)
    kept: list[Tensor] = []
    copied: list[Tensor] = []
    calls: list[tuple[int, ...]] = []
    handles = [
        model.conv1.register_forward_hook(lambda _, __, output: kept.append(output)),
        model.conv1.register_forward_hook(lambda _, __, output: copied.append(output.clone())),
        model.relu.register_forward_hook(lambda _, __, output: calls.append(tuple(output.shape))),
    ]
    with torch.inference_mode():
        model(torch.stack(alone).transpose(1, 2))
    for handle in handles:
        handle.remove()
    assert float((copied[0] < 0).float().mean()) > 0.2
    assert float((kept[0] < 0).float().mean()) == 0.0
    assert calls == [(6, 8, 20), (6, 16, 18)]  # one module, two calls: which is meant?


# A multilayer perceptron ---------------------------------------------------------------------------------------------


def test_the_perceptrons_hidden_layer_is_taken_without_dropout(made, windows, tmp_path) -> None:
    model, toml = made("mlp")
    assert model.training
    batch, alone = windows([24] * 6)
    found = embed(toml, tmp_path, batch, hidden="hidden")["hidden"]
    first, second = model.hidden[0], model.hidden[3]
    with torch.inference_mode():
        close(found, [second(first(one.flatten()).relu()).relu() for one in alone])
        x = torch.stack(alone).flatten(1)
        assert not torch.equal(model.hidden(x), model.hidden(x))  # left in train mode, no two forwards agree


# Example 3: a TemporalFusionTransformer ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformer(seed: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """Model, data set and checkpoint."""
    assert seed
    from seed import tft  # noqa: PLC0415 it needs the path

    return tft.train(tmp_path_factory.mktemp("tft"))


def hooked(model: Any, x: Any) -> tuple[Any, Any]:
    """Return what `lstm_encoder` gives in one forward: all steps, and the state after the last."""
    outputs: list[Any] = []
    handle = model.lstm_encoder.register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.inference_mode():
        model(x)
    handle.remove()
    return outputs[0][0], outputs[0][1][0][-1]


def test_the_transformers_hidden_state_is_that_of_the_model_as_it_was_trained(transformer, tmp_path) -> None:
    from seed import tft  # noqa: PLC0415 it needs the path

    model, dataset, checkpoint = transformer
    x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=48, num_workers=0)))
    _, state = hooked(model, x)
    lengths, ends = x["encoder_lengths"].numpy(), x["decoder_time_idx"][:, 0].numpy()
    sites = [f"s{code}" for code in x["groups"][:, 0].tolist()]
    frame = tft.make_frame().set_index("site")
    spans = [frame.loc[site].iloc[end - length : end] for site, end, length in zip(sites, ends, lengths, strict=True)]
    batch = WindowBatch(
        series={"site": np.array(sites, object)},
        end_us=ends.astype(np.int64),
        lengths=lengths,
        past={name: np.concatenate([span[name] for span in spans]) for name in tft.COLUMNS},
        future={},
        static={},
    )
    assert len(set(lengths.tolist())) > 5
    pack(checkpoint, tmp_path / "a", name="weather", taps=tft.TAPS, trust=True)
    found = load(tmp_path / "a").embed(batch).embeddings.features["hidden"]
    np.testing.assert_allclose(found, state.numpy(), rtol=0, atol=1e-6)


def test_a_subclass_that_taps_itself_names_a_layer_that_is_not_there(transformer) -> None:
    class Tapped(TemporalFusionTransformer):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.extraction_layer = self.encoder

    with pytest.raises(AttributeError, match="has no attribute 'encoder'"):
        Tapped.from_dataset(transformer[1], hidden_size=8)
    assert not hasattr(pytorch_forecasting, "PyTorchForecastingTrainer")


def test_a_forward_that_returns_a_pair_cannot_predict(transformer) -> None:
    _, dataset, _ = transformer

    class Paired(TemporalFusionTransformer):
        def forward(self, x: Any) -> Any:
            return super().forward(x), x["encoder_lengths"]

    paired = Paired.from_dataset(dataset, hidden_size=8, attention_head_size=2, hidden_continuous_size=4)
    loader = dataset.to_dataloader(train=False, batch_size=4, num_workers=0)
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    with pytest.raises(TypeError, match="tuple indices must be integers or slices"):
        paired.step(*next(iter(loader)), 0)  # of training
    with pytest.raises(TypeError, match="tuple indices must be integers or slices"):
        paired.predict(loader, trainer_kwargs=quiet)


def test_a_layer_kept_under_a_second_name_does_not_take_the_weights_that_were_trained(transformer) -> None:
    model, dataset, _ = transformer
    trained = model.state_dict()
    twin = type(model).from_dataset(dataset, hidden_size=8, attention_head_size=2, hidden_continuous_size=4)
    twin.extraction_layer = twin.lstm_encoder
    with pytest.raises(RuntimeError, match=r"Missing key.*extraction_layer\.weight_ih_l0"):
        twin.load_state_dict(trained)
    assert len(twin.state_dict()) == len(trained) + 4


def test_the_last_column_of_the_transformers_steps_is_zero_in_all_shorter_windows(transformer) -> None:
    model, dataset, _ = transformer
    x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=48, num_workers=0)))
    steps, _ = hooked(model, x)
    lengths = x["encoder_lengths"]
    assert torch.equal((steps[:, -1] == 0).all(1), lengths < lengths.max())
    assert int((lengths < lengths.max()).sum()) > 5

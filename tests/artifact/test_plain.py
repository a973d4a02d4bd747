"""Plain modules: packed from a TOML, loaded, and held against the module itself, run on one window at a time."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.packing import pack
from undertow.artifact.load.loader import load
from undertow.artifact.pack.read.plain import read_description
from undertow.core.errors import Refused
from undertow.schemas.contract import IdColumn
from undertow.schemas.windows import WindowBatch

INPUT = """
[input]
columns = ["ax", "ay"]
axes = "{axes}"
min_length = {least}
max_length = 9
[input.scaling]
ax = {{ center = 100.0, scale = 5.0 }}
[series]
wearer = "string"
"""

Describe = Callable[..., Path]


@pytest.fixture(scope="module")
def nets() -> Iterator[Any]:
    """A package of somebody's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import ownnets  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        yield ownnets
    del sys.modules["ownnets"]


@pytest.fixture
def describe(nets: Any, tmp_path: Path) -> Describe:
    """Return a function that writes a module's weights and its TOML."""

    def write(name: str, axes: str, least: int = 2, more: str = "", **arguments: Any) -> Path:
        torch.manual_seed(4)
        torch.save(getattr(nets, name)(**arguments).state_dict(), tmp_path / "model.pt")
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in arguments.items())  # which is TOML, too
        head = f'class = "ownnets:{name}"\nweights = "model.pt"\n[arguments]\n{lines}'
        path = tmp_path / "model.toml"
        path.write_text(head + INPUT.format(axes=axes, least=least).replace("[input]", f"[input]\n{more}"))
        return path

    return write


def make_windows(lengths: list[int]) -> WindowBatch:
    rng = np.random.default_rng(8)
    steps = sum(lengths)
    return WindowBatch(
        series={"wearer": np.array([f"s{row}" for row in range(len(lengths))], object)},
        end_us=np.arange(len(lengths)),
        lengths=np.array(lengths),
        past={"ax": rng.normal(100, 5, steps), "ay": rng.normal(size=steps)},
        future={},
        static={},
    )


WINDOWS = make_windows([9, 5, 7, 9, 5])


def alone(windows: WindowBatch) -> list[torch.Tensor]:
    """Return each window as (t, c), scaled."""
    steps = np.stack([(windows.past["ax"] - 100.0) / 5.0, windows.past["ay"]], axis=1).astype(np.float32)
    return [torch.from_numpy(one) for one in np.split(steps, windows.starts[1:-1])]


def embedded(path: Path, tap: str, windows: WindowBatch = WINDOWS, **settings: Any) -> Any:
    pack(path, path.parent / "a", name="walk", taps={"hidden": tap}, code=["ownnets"], **settings)
    return load(path.parent / "a", code=["ownnets"]).embed(windows)


def plain(describe_path: Path, nets: Any, name: str, **arguments: Any) -> Any:
    model = getattr(nets, name)(**arguments).eval()
    model.load_state_dict(torch.load(describe_path.parent / "model.pt", weights_only=True))
    return model


def test_steps_first_a_keyword_and_a_factory_give_what_the_module_gives(describe: Describe, nets: Any) -> None:
    path = describe("make", "tnc", more='argument = "series"', cell="LSTM")
    found = embedded(path, "rnn:last").embeddings
    with torch.inference_mode():
        rnn = plain(path, nets, "make", cell="LSTM").rnn
        expected = [rnn(one[:, None])[1][0][0, 0].numpy() for one in alone(WINDOWS)]
    np.testing.assert_allclose(found.features["hidden"], np.stack(expected), rtol=0, atol=1e-6)
    assert found.series["wearer"].tolist() == ["s0", "s1", "s2", "s3", "s4"]


@pytest.mark.parametrize(("pool", "reduce"), [("mean", lambda maps: maps.mean(1)), ("max", lambda maps: maps.amax(1))])
@pytest.mark.parametrize("tap", ["first", "second", "out"])
def test_channels_first_maps_of_any_length_are_pooled_over_their_own_steps(
    tap: str, pool: str, reduce: Callable[[torch.Tensor], torch.Tensor], describe: Describe, nets: Any
) -> None:
    path = describe("Convolutions", "nct", least=5)
    found = embedded(path, f"{tap}:{pool}").embeddings.features["hidden"]
    model, maps = plain(path, nets, "Convolutions"), []
    # Through a copy: the ReLU behind `first` writes into its output.
    model.get_submodule(tap).register_forward_hook(lambda _, __, output: maps.append(output.clone()))
    with torch.inference_mode():
        for one in alone(WINDOWS):
            model(one.T[None])
    np.testing.assert_allclose(found, np.stack([reduce(one[0]).numpy() for one in maps]), rtol=0, atol=1e-6)
    assert tap != "first" or (torch.cat([one.flatten() for one in maps]) < 0).any()


@pytest.mark.parametrize(
    ("name", "tap", "axes", "arguments"),
    [
        ("Convolutions", "second:mean", "nct", {"padding": 1}),
        ("Recurrent", "rnn:last", "tnc", {"bidirectional": True}),
    ],
)
def test_a_layer_that_reads_padding_is_refused_for_windows_of_many_lengths_only(
    name: str, tap: str, axes: str, arguments: Mapping[str, Any], describe: Describe
) -> None:
    more = 'argument = "series"' if axes == "tnc" else ""
    with pytest.raises(Refused, match=r"alone than in a batch.*reads the padding behind a shorter window"):
        embedded(describe(name, axes, more=more, **arguments), tap)
    assert embedded(describe(name, axes, least=9, more=more, **arguments), tap, make_windows([9, 9])).faults == ()


@pytest.mark.parametrize("tap", ["same", "out", "shorter"])
def test_maps_of_a_module_that_takes_one_length_only_are_pooled_over_steps(
    tap: str, describe: Describe, nets: Any
) -> None:
    path = describe("Placed", "nct", least=9)
    windows = make_windows([9, 9, 9])
    found = embedded(path, f"{tap}:max", windows).embeddings.features["hidden"]
    model, maps = plain(path, nets, "Placed"), []
    model.get_submodule(tap).register_forward_hook(lambda _, __, output: maps.append(output[0].amax(1).numpy()))
    with torch.inference_mode():
        for one in alone(windows):
            model(one.T[None])
    np.testing.assert_allclose(found, np.stack(maps), rtol=0, atol=1e-6)


def test_a_packed_sequence_is_taken_apart_window_by_window(describe: Describe, nets: Any) -> None:
    path = describe("Packed", "ntc", more='lengths = "lengths"')
    found = embedded(path, "rnn:first+last+max").embeddings.features["hidden"]
    rnn, expected = plain(path, nets, "Packed").rnn, []
    with torch.inference_mode():
        for one in alone(WINDOWS):
            steps = rnn(one[None])[0][0]
            expected.append(torch.cat([steps[0], steps[-1], steps.amax(0)]).numpy())
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_a_module_that_wants_its_windows_sorted_is_refused(describe: Describe) -> None:
    with pytest.raises(Refused, match=r"fails on sample windows.*enforce_sorted=False"):
        embedded(describe("Packed", "ntc", more='lengths = "lengths"', is_sorted=True), "rnn:last")


def test_a_convolution_with_padding_right_behind_the_input_is_exact(describe: Describe, nets: Any) -> None:
    path = describe("Convolutions", "nct", padding=1)
    found = embedded(path, "first:mean").embeddings.features["hidden"]
    first = plain(path, nets, "Convolutions", padding=1).first
    expected = [first(one.T[None])[0].mean(1).detach().numpy() for one in alone(WINDOWS)]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_categories_become_the_codes_of_their_places(describe: Describe, nets: Any) -> None:
    path = describe("Words", "ntc")
    text = path.read_text().partition("[input]")[0]
    path.write_text(
        f'{text}[input]\ncolumns = ["mode"]\ndtype = "int64"\nmin_length = 1\nmax_length = 4\n'
        '[input.categories]\nmode = ["rest", "walk", "run"]\n[series]\nwearer = "string"\n'
    )
    modes = np.array(["walk", "rest", "run", "run", "walk", "swim", "rest"], object)
    windows = WindowBatch(
        series={"wearer": np.array(["a", "b", "c"], object)},
        end_us=np.arange(3),
        lengths=np.array([4, 1, 2]),
        past={"mode": modes},
        future={},
        static={},
    )
    found = embedded(path, "rnn:last", windows)
    with torch.inference_mode():
        model = plain(path, nets, "Words")
        expected = [model(torch.tensor(codes)[None, :, None])[0, -1].numpy() for codes in ([1, 0, 2, 2], [1])]
    np.testing.assert_allclose(found.embeddings.features["hidden"], np.stack(expected), rtol=0, atol=1e-6)
    assert [(fault.row, fault.reason) for fault in found.faults] == [(2, "category")]


def test_weights_are_read_from_safetensors_too(describe: Describe) -> None:
    path = describe("Loop", "ntc")
    state = torch.load(path.parent / "model.pt", weights_only=True)
    safetensors.torch.save_file(state, path.parent / "model.safetensors")
    path.write_text(path.read_text().replace("model.pt", "model.safetensors"))
    (path.parent / "model.pt").unlink()
    assert embedded(path, "cell#0:last").embeddings.features["hidden"].shape == (5, 2)


def test_an_axis_that_had_to_be_guessed_is_said(describe: Describe) -> None:
    notes: list[str] = []
    embedded(describe("Placed", "nct", least=9), "last#0:mean+max", make_windows([9]), note=notes.append)
    (said,) = notes
    assert said.startswith("the steps at last#0 do not follow the window's; axis 1 is taken for them")
    assert said.endswith("7 channels are left")


def test_id_columns_of_the_command_go_before_those_of_the_file(describe: Describe) -> None:
    path = describe("Loop", "ntc")
    series = read_description(path, series=["person", "lap:integer"]).contract.series
    assert series == (IdColumn(name="person", type="string"), IdColumn(name="lap", type="integer"))


@pytest.mark.parametrize(
    ("name", "axes", "more", "message"),
    [
        ("Convolutions", "ntc", "", r"fails on sample windows of 2 to 9 steps.*2 columns, axes = ntc.*RuntimeError"),
        ("Recurrent", "tnc", "", r"argument = the first, lengths = none.*TypeError.*'series'"),
        ("Loop", "ntc", 'lengths = "sizes"', r"lengths = sizes.*TypeError.*'sizes'"),
        ("Recurrent", "ntc", 'argument = "series"', r"mixes the windows of a batch.*taking it for time"),
    ],
)
def test_an_input_that_is_described_otherwise_than_the_module_takes_it_is_refused(
    name: str, axes: str, more: str, message: str, describe: Describe
) -> None:
    with pytest.raises(Refused, match=message):
        embedded(describe(name, axes, more=more), "rnn:last" if name == "Recurrent" else "cell:last")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("dropout", "embedded otherwise the second time"),
        ("constant", "embedded otherwise than by the whole trained model"),
        ("batch", r"alone than in a batch.*mixes the windows"),
    ],
)
def test_a_module_whose_answers_do_not_depend_on_the_window_alone_is_refused(
    what: str, message: str, describe: Describe
) -> None:
    with pytest.raises(Refused, match=message):
        embedded(describe("Careless", "ntc", least=9, what=what), "out:mean")


def test_a_call_that_nobody_named_is_said(describe: Describe, tmp_path: Path) -> None:
    notes: list[str] = []
    path = describe("Loop", "ntc")
    embedded(path, "cell:last", note=notes.append)
    shapes = ", ".join(f"cell#{call} (3, 9, 2)" for call in range(3))
    assert notes == [
        f"one forward calls cell 3 times, and the tap takes call 0; for 3 windows there are {shapes}",
    ]
    notes.clear()
    taps = {"named": "cell#1:last", "none": "cell#2:mean"}
    pack(path, tmp_path / "b", name="walk", taps=taps, code=["ownnets"], note=notes.append)
    assert notes == []

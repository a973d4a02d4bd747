"""640 series of 7 to 29 steps, 12 channels: each vector is what a hook gives on the single series without padding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.packing import pack
from undertow.artifact.load.loader import load

NETS = "padded"
COLUMNS = "abcdefghijkl"
TAPS = {
    "maps": "second:mean+max",
    "steps": "rnn:mean+max+last",
    "state": "rnn[1]:flatten",  # the last state of each direction
}


@pytest.fixture
def path(describe: Callable[..., Path]) -> Path:
    return describe(
        "Masked", "nct", least=7, most=29, more='lengths = "lengths"', columns=COLUMNS, channels=12, hidden=16
    )


def test_every_vector_is_that_of_the_series_alone_and_unpadded(path: Path, plain: Any, walks: Any, alone: Any) -> None:
    lengths = np.random.default_rng(7).integers(7, 30, 640).tolist()
    windows = walks(lengths, COLUMNS)
    notes: list[str] = []
    pack(path, path.parent / "a", name="vowels", taps=TAPS, code=[NETS], note=notes.append)
    found = load(path.parent / "a", code=[NETS]).embed(windows)
    assert found.faults == ()
    model = plain(path, "Masked", channels=12, hidden=16)
    fired: dict[str, Any] = {}
    for name in ("second", "rnn"):
        module = model.get_submodule(name)
        module.register_forward_hook(lambda _, __, output, name=name: fired.update({name: output}))
    expected: dict[str, list[np.ndarray]] = {name: [] for name in TAPS}
    with torch.inference_mode():
        for one in alone(windows):
            model(one.T[None], torch.tensor([len(one)]))
            maps, steps, state = fired["second"][0], fired["rnn"][0].data, fired["rnn"][1][:, 0]
            assert len(steps) == maps.shape[1] == len(one)
            expected["maps"].append(torch.cat([maps.mean(1), maps.amax(1)]).numpy())
            expected["steps"].append(torch.cat([steps.mean(0), steps.amax(0), steps[-1]]).numpy())
            expected["state"].append(state.flatten().numpy())
    for name, rows in expected.items():
        vectors, plainly = found.embeddings.features[name], np.stack(rows)
        assert vectors.shape == plainly.shape
        # What the README promises: in units of a feature's largest number, or of 1.
        apart = np.abs(vectors - plainly).max() / max(1.0, np.abs(plainly).max())
        assert apart <= 1e-6, (name, apart)
    assert any("channels of last have seen" in note for note in notes)

"""A forward in narrower numbers: what torch.autocast makes of the trained model, in a space of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.packing import pack
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.load.precision import TOLERANCE
from undertow.core.errors import Refused

Train = Callable[[str], Any]


def has_narrow_lstm() -> bool:
    """Whether oneDNN has a bfloat16 LSTM for this processor, which takes AVX-512."""
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            torch.nn.LSTM(4, 4, batch_first=True)(torch.zeros(2, 3, 4))
    except RuntimeError:
        return False
    return True


with_narrow_lstm = pytest.mark.skipif(not has_narrow_lstm(), reason="needs a processor with AVX-512: lscpu")


def packed(source: Any, folder: Path, **options: Any) -> Manifest:
    return pack(source.checkpoint, folder, name="walk", taps={"hidden": "lstm_encoder:last"}, trust=True, **options)


def under_autocast(source: Any) -> NDArray[np.float32]:
    """Return the last valid step of pytorch-forecasting's own batch, by a plain hook on the unmodified model."""
    x, _ = next(iter(source.dataset.to_dataloader(train=False, batch_size=64, num_workers=0)))
    caught: list[torch.Tensor] = []
    handle = source.model.lstm_encoder.register_forward_hook(lambda _, __, output: caught.append(output[0]))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        source.model(x)
    handle.remove()
    return torch.stack([row[n - 1] for row, n in zip(caught[0], x["encoder_lengths"], strict=True)]).float().numpy()


@pytest.mark.skipif(has_narrow_lstm(), reason="needs a processor without AVX-512: lscpu")
def test_a_processor_that_has_no_such_layer_is_told_when_the_model_is_packed(trained: Train, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="this processor has no bfloat16 form of a layer"):
        packed(trained("tft"), tmp_path / "a", precision="bfloat16")


@with_narrow_lstm
def test_a_narrow_artifact_embeds_as_the_trained_model_does_under_autocast(
    trained: Train, reference: Any, tmp_path: Path
) -> None:
    source = trained("tft")
    plain = reference(source, "lstm_encoder")
    manifest = packed(source, tmp_path / "a", precision="bfloat16")
    found = load(tmp_path / "a").embed(plain.windows).embeddings.features["hidden"]
    assert found.dtype == np.float32
    apart = np.abs(found - under_autocast(source)).max()
    assert apart <= TOLERANCE["bfloat16"] / 2
    assert 1e-5 < np.abs(found - plain.last).max() < 0.05  # other numbers, of the same things
    assert manifest.certificate is not None
    assert manifest.certificate.tolerance == TOLERANCE["bfloat16"]
    assert "in bfloat16" in manifest.view().description


@with_narrow_lstm
def test_each_precision_is_a_space_of_its_own(trained: Train, tmp_path: Path) -> None:
    source = trained("tft")
    wide = packed(source, tmp_path / "float32")
    narrow = packed(source, tmp_path / "bfloat16", precision="bfloat16")
    assert wide.space != narrow.space
    assert wide.weights == narrow.weights
    assert [read_manifest(tmp_path / name).precision for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]


@with_narrow_lstm
def test_a_narrow_forward_takes_the_modules_as_they_are(trained: Train, tmp_path: Path) -> None:
    packed(trained("tft"), tmp_path / "a", precision="bfloat16")
    model = load(tmp_path / "a")._taps._model
    assert "forward" not in vars(model.encoder_variable_selection)
    assert "forward" in vars(model.decoder_variable_selection)  # left out, as ever

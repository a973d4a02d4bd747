"""What users write, with the types they get: `make lint` checks it as strictly as our own code; nothing runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

import undertow


def embed(frame: object) -> None:
    with undertow.load("artifact", device="cpu", code=["mine"]) as embedder:
        assert_type(embedder, undertow.ArtifactEmbedder)
        assert_type(embedder.name, str)
        assert_type(embedder.features, Mapping[str, int])
        result = embedder.embed(frame)
    assert_type(result, undertow.Result)
    assert_type(result["hidden"], NDArray[np.float32])
    assert_type(result.faults, tuple[undertow.Fault, ...])
    assert_type(result.faults[0].row, int)
    assert_type(result.space, str)


def pack() -> None:
    assert_type(undertow.pack("model.toml", name="pumps", taps={"hidden": "rnn:last"}), Path)
    undertow.pack(
        Path("model.ckpt"), name="pumps", taps={"hidden": undertow.Feature.parse("rnn:last")}, series=["site"]
    )


def tap(model: nn.Module, x: Tensor) -> None:
    feature = undertow.Feature.parse("0:mean+max")
    assert_type(feature, undertow.Feature)
    with undertow.Taps(model, [feature.tap]) as taps:
        maps = taps.run(x)[feature.tap]
    assert_type(maps, Tensor)
    assert_type(undertow.pool(maps, feature.pools), Tensor)


def ask_for_forgiveness() -> None:
    try:
        undertow.load("artifact")
    except (undertow.Refused, undertow.Unavailable) as error:
        assert_type(error, undertow.Refused | undertow.Unavailable)

"""A trained model and all that its inputs are built by: what a checkpoint was read for.

In: a checkpoint file and its owner's trust. Out: `Trained`. Knows no tap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from schemas.contract import InputContract
from workers.artifact.checkpoint import read_checkpoint, restore
from workers.artifact.dataset import extract
from workers.artifact.manifest import ModelRecipe
from workers.artifact.models import make_recipe
from workers.core.preprocessing import Preprocessing
from workers.core.taps import Call


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A model as it was trained, in eval mode."""

    model: nn.Module
    call: Call
    """Calls it with the inputs that `preprocessing` builds."""
    recipe: ModelRecipe
    """How to build it again, without its weights."""
    preprocessing: Preprocessing
    contract: InputContract
    digest: str
    """SHA-256 of the file it was read from."""
    dataset_parameters: Mapping[str, Any] | None = None
    """Of the TimeSeriesDataSet it was trained on, if it was: the reference of its inputs."""


def read_trained(
    path: Path, *, trust: bool, series: Sequence[str] | None = None, model_class: str | None = None
) -> Trained:
    """Read a Lightning checkpoint of a pytorch-forecasting model. Raises `Refused`.

    `series` and `model_class` as in `pack`.
    """
    source = read_checkpoint(path, trust=trust)
    model = restore(source, model_class)
    preprocessing, contract = extract(source.dataset_parameters, series=series)
    return Trained(
        model=model,
        call=model,
        recipe=make_recipe(model, source.hyperparameters),
        preprocessing=preprocessing,
        contract=contract,
        digest=source.digest,
        dataset_parameters=source.dataset_parameters,
    )

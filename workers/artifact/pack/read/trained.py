"""Read a trained model from its file, together with its preprocessing and input contract.

In: a checkpoint and whether it is trusted, or the description of a plain module. Out: `Trained`. Knows no tap.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.dry_runs.sample import sample_lengths
from undertow.artifact.format.names import check_ids
from undertow.artifact.format.recipes import ModuleRecipe, Recipe
from undertow.artifact.load.user_code import build_module, find_maker, make_call, source_digest
from undertow.artifact.pack.read.file_kinds import TOML
from undertow.artifact.pack.read.hyperparameters import find_arguments
from undertow.artifact.pack.read.plain import read_description
from undertow.artifact.pack.read.state import fill, read_state
from undertow.core.errors import Refused
from undertow.core.extras import require_extras
from undertow.core.preprocessing import Preprocessing
from undertow.core.taps import Call
from undertow.schemas.contract import InputContract
from undertow.schemas.wording import between, counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained model, in eval mode, and how its inputs are built."""

    model: nn.Module
    call: Call
    """Calls the model with the inputs that `preprocessing` builds."""
    recipe: Recipe
    """How to build the model again, without its weights."""
    preprocessing: Preprocessing
    contract: InputContract
    digest: str
    """SHA-256 of the file from which its weights were read."""
    dataset_parameters: Mapping[str, Any] | None = None
    """The parameters of its TimeSeriesDataSet, if it was trained with one: the reference for its inputs."""
    notes: tuple[str, ...] = ()
    """Assumptions that no file states, for the user to check."""


def read_trained(
    path: Path,
    *,
    trust: bool,
    series: Sequence[str] | None = None,
    model_class: str | None = None,
    code: Collection[str] = (),
) -> Trained:
    """Read a Lightning checkpoint of a pytorch-forecasting model, or a TOML that describes a module. Raises `Refused`.

    `series`, `model_class` and `code` as in `pack`.
    """
    if path.suffix == TOML:
        if model_class is not None:
            message = f"{path} names its class itself; leave --model-class out"
            raise Refused(message)
        return _read_module(path, series, code, trust=trust)
    require_extras("a checkpoint of pytorch-forecasting", "train")
    # Seconds of imports, and an extra, which a plain module needs not.
    from undertow.artifact.load.models import make_recipe  # noqa: PLC0415
    from undertow.artifact.pack.read.checkpoint import guessed_class, read_checkpoint, restore  # noqa: PLC0415
    from undertow.artifact.pack.read.dataset import extract  # noqa: PLC0415

    source = read_checkpoint(path, trust=trust)
    model = restore(source, model_class, code)
    preprocessing, contract = extract(source.dataset_parameters, series=series)
    check_ids(contract, ())
    return Trained(
        model=model,
        call=model,
        recipe=make_recipe(model, source.hyperparameters, model_class),
        preprocessing=preprocessing,
        contract=contract,
        digest=source.digest,
        dataset_parameters=source.dataset_parameters,
        notes=() if model_class else (guessed_class(model),),
    )


def _read_module(path: Path, series: Sequence[str] | None, code: Collection[str], *, trust: bool) -> Trained:
    described = read_description(path, series=series)
    maker = find_maker(described.recipe.cls, code)
    state = read_state(described.weights, trust=trust)
    arguments = find_arguments(maker, state, described.recipe.arguments)
    recipe = replace(described.recipe, arguments=arguments, source=source_digest(maker))
    model = build_module(recipe, code)
    said = fill(model, state)
    trained = Trained(
        digest=state.digest,
        model=model,
        call=make_call(model, recipe.input),
        recipe=recipe,
        preprocessing=described.preprocessing,
        contract=described.contract,
        notes=() if said is None else (said,),
    )
    _run_once(path, trained, recipe)
    return trained


def _run_once(path: Path, trained: Trained, recipe: ModuleRecipe) -> None:
    """Refuse a description by which the module cannot be called, since it was written by hand."""
    contract = trained.contract
    # Shortest first, as the embedder sorts its batches, so that a module that needs the longest first fails here.
    x = make_inputs(trained.preprocessing, contract, np.sort(sample_lengths(contract)))
    try:
        with torch.inference_mode():
            trained.call(x)
    except Exception as error:
        given = recipe.input
        message = (
            f"{recipe.cls} fails on sample windows of {between(contract.min_length, contract.max_length, 'step')} as "
            f"{path} describes them ({counted(len(contract.past), 'column')}, axes = {given.axes}, dtype = "
            f"{given.dtype}, argument = {given.argument or 'the first'}, lengths = {given.lengths or 'none'}): "
            f"{type(error).__name__}: {error}"
        )
        raise Refused(message) from error

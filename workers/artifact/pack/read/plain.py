"""Read the description of a plain `nn.Module`: a TOML with its class, its weights and its inputs.

In: the TOML file. Out: `Description`. Knows no checkpoint; imports nothing that the file names, and unpickles nothing.
What the file may say is in `module_toml`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undertow.artifact.format.names import check_ids
from undertow.artifact.format.recipes import ModuleInput, ModuleRecipe
from undertow.artifact.pack.read.module_toml import InputToml, ScalingToml, read_table
from undertow.core.errors import Refused
from undertow.core.preprocessing import Categorical, LabelEncoder, Preprocessing, Real
from undertow.core.scalers import FixedScaler
from undertow.core.toml_files import read_toml
from undertow.schemas.contract import Column, IdColumn, InputContract


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The content of the TOML file."""

    recipe: ModuleRecipe
    """Its `source` is still empty, since nothing was imported yet."""
    weights: Path
    preprocessing: Preprocessing
    contract: InputContract


def read_description(path: Path, *, series: Sequence[str] | None = None) -> Description:
    """Read the file. `series` overrides the file's id columns. Raises `Refused`, which names each wrong key."""
    data = read_toml(path)
    try:
        return _describe(path.parent, data if series is None else {**data, "series": _read_series(series)})
    except Refused as refusal:
        message = f"{path}: {refusal}"
        raise Refused(message) from None


def _read_series(texts: Sequence[str]) -> dict[str, str]:
    pairs = [(name, kind or "string") for name, _, kind in (text.partition(":") for text in texts)]
    if len(dict(pairs)) < len(pairs):
        message = f"--series: expected each id column once, found {', '.join(name for name, _ in pairs)}"
        raise Refused(message)
    return dict(pairs)


def _describe(folder: Path, data: dict[str, Any]) -> Description:
    found = read_table(data)
    given = found.input
    module_input = ModuleInput(argument=given.argument, axes=given.axes, dtype=given.dtype, lengths=given.lengths)
    series = tuple(IdColumn(name=name, type=kind) for name, kind in found.series.items())
    columns = tuple(
        Column(name=name, categories=tuple(given.categories[name])) if given.dtype == "int64" else Column(name=name)
        for name in given.columns
    )
    contract = InputContract(series=series, past=columns, min_length=given.least, max_length=given.max_length)
    check_ids(contract, ())
    return Description(
        recipe=ModuleRecipe(cls=found.cls, arguments=found.arguments, source="", input=module_input),
        weights=folder / found.weights,
        preprocessing=_preprocessing(given),
        contract=contract,
    )


def _preprocessing(given: InputToml) -> Preprocessing:
    reals: tuple[Real, ...] = ()
    encoders: tuple[LabelEncoder, ...] = ()
    if given.dtype == "float32":
        reals = tuple(
            Real(name=name, role="unknown", scaler=_scaler(given.scaling.get(name))) for name in given.columns
        )
    else:
        encoders = tuple(
            LabelEncoder(name=name, codes={label: code for code, label in enumerate(given.categories[name])})
            for name in given.columns
        )
    return Preprocessing(
        max_encoder_length=given.max_length,
        prediction_length=0,
        reals=reals,
        categoricals=tuple(Categorical(name=one.name, role="unknown", encoder=one.name) for one in encoders),
        targets=(),
        several_targets=True,  # a list of none
        groups=(),
        encoders=encoders,
    )


def _scaler(given: ScalingToml | None) -> FixedScaler | None:
    if given is None or not given.model_fields_set:
        return None
    return FixedScaler(center=float(given.center), scale=float(given.scale), transformation=given.transformation)

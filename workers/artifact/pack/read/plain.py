"""Read the description of a plain `nn.Module`: a TOML with its class, its weights and its inputs.

In: the TOML file. Out: `Description`. Knows no checkpoint; imports nothing that the file names, and unpickles nothing.
"""

import difflib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from undertow.artifact.format.recipes import Axes, Dtype, ModuleInput, ModuleRecipe
from undertow.core.errors import Refused
from undertow.core.preprocessing import Categorical, LabelEncoder, Preprocessing, Real
from undertow.core.scalers import FixedScaler
from undertow.core.transformations import NAMES
from undertow.schemas.contract import Column, IdColumn, InputContract

Table = Mapping[str, Any]
KINDS = {str: "a text", int: "a whole number", float: "a number", list: "a list of texts", dict: "a table"}
TOP = {"class": str, "weights": str, "arguments": dict, "input": dict, "series": dict}
INPUT = {
    "argument": str,
    "columns": list,
    "axes": str,
    "dtype": str,
    "lengths": str,
    "min_length": int,
    "max_length": int,
    "scaling": dict,
    "categories": dict,
}
SCALING = {"center": float, "scale": float, "transformation": str}
TRANSFORMATIONS = tuple(sorted(NAMES - {"relu"}))  # relu changes predictions only


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The content of the TOML file."""

    recipe: ModuleRecipe
    """Its `source` is still empty, since nothing was imported yet."""
    weights: Path
    preprocessing: Preprocessing
    contract: InputContract


def read_description(path: Path, *, series: Sequence[str] | None = None) -> Description:
    """Read the file. `series` overrides the file's id columns. Raises `Refused`, which names the wrong key."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise Refused(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not valid TOML: {error}"
        raise Refused(message) from error
    try:
        return _read(path.parent, data, series)
    except _WrongError as wrong:
        message = f"{path}: {wrong}"
        raise Refused(message) from None


class _WrongError(Exception):
    """An error in the file; the caller adds the file's name."""


def _read(folder: Path, data: Table, series: Sequence[str] | None) -> Description:
    _check(data, "", TOP, required=("class", "weights", "input"))
    given = data["input"]
    _check(given, "input", INPUT, required=("columns", "max_length"))
    arguments = data.get("arguments", {})
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = f"[arguments] must be texts, finite numbers, booleans, lists and tables: {error}"
        raise _WrongError(message) from None
    module_input = ModuleInput(
        argument=given.get("argument"),
        axes=_one_of("input.axes", given.get("axes", "ntc"), get_args(Axes)),
        dtype=_one_of("input.dtype", given.get("dtype", "float32"), get_args(Dtype)),
        lengths=given.get("lengths"),
    )
    longest = given["max_length"]
    least = given.get("min_length", longest)
    if not 1 <= least <= longest:
        message = f"expected 1 <= input.min_length <= input.max_length, found {least} and {longest}"
        raise _WrongError(message)
    if module_input.axes == "nf" and least < longest:
        message = (
            f'axes = "nf" gives a vector whose size is steps times columns, so all windows must have one length, found '
            f"min_length = {least} and max_length = {longest}"
        )
        raise _WrongError(message)
    preprocessing, columns = _columns(given, module_input)
    return Description(
        recipe=ModuleRecipe(cls=data["class"], arguments=arguments, source="", input=module_input),
        weights=folder / data["weights"],
        preprocessing=preprocessing,
        contract=InputContract(
            series=_series(data.get("series", {}), series), past=columns, min_length=least, max_length=longest
        ),
    )


def _columns(given: Table, module_input: ModuleInput) -> tuple[Preprocessing, tuple[Column, ...]]:
    """Return the preprocessing, and the columns of the input tensor in order."""
    names: list[str] = given["columns"]
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        message = f"input.columns: expected names of columns, each once, found {names!r}"
        raise _WrongError(message)
    scaling, categories = given.get("scaling", {}), given.get("categories", {})
    _check(scaling, "input.scaling", dict.fromkeys(names, dict))
    _check(categories, "input.categories", dict.fromkeys(names, list))
    reals: tuple[Real, ...] = ()
    encoders: tuple[LabelEncoder, ...] = ()
    if module_input.dtype == "float32":
        _refuse_if(categories, 'input.categories: dtype = "float32" takes numbers; categories need dtype = "int64"')
        reals = tuple(Real(name=name, role="unknown", scaler=_scaler(name, scaling.get(name, {}))) for name in names)
        columns = tuple(Column(name=name) for name in names)
    else:
        _refuse_if(scaling, 'input.scaling: dtype = "int64" takes codes of categories, which have no scale')
        encoders = tuple(_encoder(name, categories.get(name, [])) for name in names)
        columns = tuple(Column(name=name, categories=tuple(categories[name])) for name in names)
    preprocessing = Preprocessing(
        max_encoder_length=given["max_length"],
        prediction_length=0,
        reals=reals,
        categoricals=tuple(Categorical(name=one.name, role="unknown", encoder=one.name) for one in encoders),
        targets=(),
        several_targets=True,  # an empty list
        groups=(),
        encoders=encoders,
    )
    return preprocessing, columns


def _scaler(name: str, given: Table) -> FixedScaler | None:
    if not given:
        return None
    where = f"input.scaling.{name}"
    _check(given, where, SCALING)
    center, scale = float(given.get("center", 0.0)), float(given.get("scale", 1.0))
    if not (math.isfinite(center) and math.isfinite(scale) and scale != 0.0):
        message = f"{where}: expected a finite center and a finite scale other than 0, found {center} and {scale}"
        raise _WrongError(message)
    transformation = given.get("transformation")
    if transformation is not None:
        _one_of(f"{where}.transformation", transformation, TRANSFORMATIONS)
    return FixedScaler(center=center, scale=scale, transformation=transformation)


def _encoder(name: str, labels: Sequence[Any]) -> LabelEncoder:
    if not labels or not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        message = (
            f"input.categories.{name}: expected the categories that the codes 0, 1, 2, ... stand for, as texts in that "
            f"order, each once, found {labels!r}"
        )
        raise _WrongError(message)
    return LabelEncoder(name=name, codes={label: code for code, label in enumerate(labels)})


def _series(given: Table, series: Sequence[str] | None) -> tuple[IdColumn, ...]:
    if series is not None:
        pairs = [(name, kind or "string") for name, _, kind in (text.partition(":") for text in series)]
    else:
        _check(given, "series", dict.fromkeys(given, str))
        pairs = list(given.items())
    if not pairs:
        message = (
            "expected the id columns of the windows' series, which become Feast's join keys, found none; say "
            '[series] wearer = "string", or --series wearer'
        )
        raise _WrongError(message)
    return tuple(
        IdColumn(name=name, type=_one_of(f"series.{name}", kind, ("string", "integer"))) for name, kind in pairs
    )


def _check(table: Table, where: str, kinds: Mapping[str, type], required: Sequence[str] = ()) -> None:
    """Refuse unknown keys (naming the closest), values of the wrong type, and missing keys."""
    prefix = f"{where}." if where else ""
    for key, value in table.items():
        if key not in kinds:
            close = difflib.get_close_matches(key, kinds, n=1)
            hint = f"closest: {prefix}{close[0]}" if close else f"there are {', '.join(kinds) or 'none'}"
            message = f"no key {prefix}{key}; {hint}"
            raise _WrongError(message)
        kind = kinds[key]
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            message = f"{prefix}{key}: expected {KINDS[kind]}, found {value!r}"
            raise _WrongError(message)
    for key in required:
        if key not in table:
            message = f"expected {prefix}{key}, {KINDS[kinds[key]]}; found only {', '.join(table) or 'nothing'}"
            raise _WrongError(message)


def _one_of(where: str, value: str, allowed: Sequence[Any]) -> Any:
    if value not in allowed:
        message = f"{where}: expected one of {', '.join(allowed)}, found {value!r}"
        raise _WrongError(message)
    return value


def _refuse_if(given: Table, message: str) -> None:
    if given:
        raise _WrongError(message)

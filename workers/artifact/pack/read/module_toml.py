"""What the TOML of a plain `nn.Module` may say: its keys, their types, and each fault in words.

In: parsed TOML. Out: `ModuleToml`, or `Refused` with every wrong key. Knows no file, no module and no window.
"""

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from undertow.artifact.format.recipes import Axes, Dtype
from undertow.core.errors import Refused
from undertow.core.transformations import NAMES
from undertow.schemas.wording import counted

TRANSFORMATIONS = tuple(sorted(NAMES - {"relu"}))  # relu changes predictions only
KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list of texts",
    "dict_type": "a table",
    "model_type": "a table",
}
"""What pydantic's types of faults expect."""
LARGEST_WINDOW = 4 << 20
"""The most numbers of a window, steps times columns: as JSON they fill the largest request to Kafka, 64 MB, and the
windows on which a model is tried take a few GB. A choice."""
RULE = "rule"
"""The type of a fault that names its keys itself."""


def _names(values: list[str]) -> list[str]:
    if not values or not all(values) or len(set(values)) < len(values):
        message = f"expected names of columns, each once, found {values!r}"
        raise ValueError(message)
    return values


def _finite(value: float) -> float:
    if not math.isfinite(value):
        message = f"expected a finite center, found {value}"
        raise ValueError(message)
    return value


def _divisor(value: float) -> float:
    if not math.isfinite(value) or value == 0.0:
        message = f"expected a finite scale other than 0, found {value}"
        raise ValueError(message)
    return value


def _transformation(value: str) -> str:
    if value not in TRANSFORMATIONS:
        message = f"expected one of {', '.join(TRANSFORMATIONS)}, found {value!r}"
        raise ValueError(message)
    return value


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class ScalingToml(_Table):
    """How one column of numbers is scaled."""

    center: Annotated[float, AfterValidator(_finite)] = 0.0
    scale: Annotated[float, AfterValidator(_divisor)] = 1.0
    transformation: Annotated[str, AfterValidator(_transformation)] | None = None


class InputToml(_Table):
    """What the module is called with."""

    columns: Annotated[list[str], AfterValidator(_names)] = Field(description="a list of texts")
    max_length: int = Field(description="a whole number")
    min_length: int | None = None
    """None is the same as `max_length`."""
    argument: str | None = None
    axes: Axes = "ntc"
    dtype: Dtype = "float32"
    lengths: str | None = None
    scaling: dict[str, ScalingToml] = {}
    categories: dict[str, list[str]] = {}

    @property
    def least(self) -> int:
        """The shortest length."""
        return self.max_length if self.min_length is None else self.min_length

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if not 1 <= self.least <= self.max_length:
            _refuse(
                f"expected 1 <= input.min_length <= input.max_length, found {self.least} and {self.max_length}",
            )
        if self.max_length * len(self.columns) > LARGEST_WINDOW:
            _refuse(
                f"expected windows of at most {LARGEST_WINDOW:,} numbers, input.max_length times input.columns, found "
                f"{self.max_length} steps of {counted(len(self.columns), 'column')}"
            )
        if self.axes == "nf" and self.least < self.max_length:
            _refuse(
                'axes = "nf" gives a vector whose size is steps times columns, so all windows must have one length, '
                f"found min_length = {self.least} and max_length = {self.max_length}"
            )
        return self

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        for table, given in (("scaling", self.scaling), ("categories", self.categories)):
            for name in given:
                if name not in self.columns:
                    _refuse(_no_key(f"input.{table}", name, self.columns))
        if self.dtype == "float32" and self.categories:
            _refuse(
                'input.categories: dtype = "float32" takes numbers; categories need dtype = "int64", which '
                "is that of all columns"
            )
        if self.dtype == "int64" and self.scaling:
            _refuse('input.scaling: dtype = "int64" takes codes of categories, which have no scale')
        for name in self.columns if self.dtype == "int64" else ():
            labels = self.categories.get(name, [])
            if not labels or len(set(labels)) < len(labels):
                _refuse(
                    f"input.categories.{name}: expected the categories that the codes 0, 1, 2, ... stand for, as texts "
                    f"in that order, each once, found {labels!r}"
                )
        return self


class ModuleToml(_Table):
    """All of it."""

    cls: str = Field(alias="class", description="a text")
    weights: str = Field(description="a text")
    input: InputToml = Field(description="a table")
    arguments: dict[str, Any] = {}
    series: dict[str, Literal["string", "integer"]] = {}

    @model_validator(mode="after")
    def _arguments_are_json(self) -> Self:
        try:
            json.dumps(self.arguments, allow_nan=False)
        except (TypeError, ValueError) as error:
            _refuse(f"[arguments] must be texts, finite numbers, booleans, lists and tables: {error}")
        return self

    @model_validator(mode="after")
    def _has_series(self) -> Self:
        if not self.series:
            _refuse(
                "expected the id columns of the windows' series, which become Feast's join keys, found none; say "
                '[series] wearer = "string", or --series wearer'
            )
        return self


def read_table(data: Mapping[str, Any]) -> ModuleToml:
    """Check it. Raises `Refused` with all faults, each with its key."""
    try:
        return ModuleToml.model_validate(data)
    except ValidationError as error:
        raise Refused("; ".join(map(_told, error.errors(include_url=False)))) from None


def _refuse(message: str) -> None:
    raise PydanticCustomError(RULE, "{message}", {"message": message})


def _told(fault: ErrorDetails) -> str:
    *tables, key = map(str, fault["loc"] or ("",))
    where, kind, found = ".".join([*tables, key]), fault["type"], fault["input"]
    if kind == RULE:
        return fault["msg"]
    if kind in {"extra_forbidden", "missing"}:
        model = (ModuleToml, InputToml)[len(tables)] if len(tables) < 2 else ScalingToml  # noqa: PLR2004 - input.scaling.x
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if kind == "extra_forbidden":
            return _no_key(".".join(tables), key, fields)
        return f"expected {where}, {fields[key].description}; found only {', '.join(found) or 'nothing'}"
    if kind == "literal_error":
        expected = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{where}: expected one of {expected}, found {found!r}"
    if kind in KINDS:
        return f"{where}: expected {KINDS[kind]}{_keys_of(where, kind)}, found {found!r}"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _keys_of(where: str, kind: str) -> str:
    if kind != "model_type":
        return ""
    table = InputToml if where == "input" else ScalingToml
    return f" ({', '.join(table.model_fields)})"


def _no_key(table: str, key: str, known: Iterable[str]) -> str:
    prefix, names = f"{table}." if table else "", list(known)
    close = difflib.get_close_matches(key, names, n=1)
    hint = f"closest: {prefix}{close[0]}" if close else f"there are {', '.join(names)}"
    return f"no key {prefix}{key}; {hint}"

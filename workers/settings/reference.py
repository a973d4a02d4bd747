"""The reference of all settings, read from the sections themselves.

In: the classes of the sections, and the docstrings below their fields. Out: one `Setting` for each key, and the text of
an `undertow.toml` with every key as a comment. Knows no value in force.
"""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from undertow.core.errors import WrongUsage
from undertow.settings.settings import PREFIX, SEPARATOR, Settings

WIDTH = 100
KINDS = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text, a secret",
    AwareDatetime: "time with a zone",
    timedelta: "duration",
    dict: "table",
    tuple: "list",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key that can be set."""

    key: str
    """As in `--set`: `kafka.topic`."""
    kind: str
    """The type of its value, in words."""
    default: Any
    """The default as plain data; None if there is none."""
    text: str
    """Its description, one paragraph."""

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.key.replace(".", SEPARATOR).upper()

    @property
    def line(self) -> str:
        """Its line in a TOML file, inside its table, with the default."""
        name = self.key.rpartition(".")[2]
        return f"{name} = {_toml(self.default)}".rstrip()


@cache
def all_settings() -> tuple[Setting, ...]:
    """Return all settings, section by section, in the order in which they are defined."""
    return tuple(_settings_of(Settings, ""))


def find_settings(key: str) -> tuple[Setting, ...]:
    """Return one setting, or those of a section, by key or environment variable in letters of any case.

    Raises `WrongUsage` for an unknown one, naming the closest.
    """
    wanted = key.strip().lower().removeprefix(PREFIX.lower()).replace(SEPARATOR, ".").strip(".")
    found = tuple(one for one in all_settings() if one.key == wanted or one.key.startswith(f"{wanted}."))
    if not found:
        keys = [one.key for one in all_settings()]
        close = difflib.get_close_matches(wanted, [*keys, *{name.partition(".")[0] for name in keys}], n=3)
        meant = f"did you mean {' or '.join(close)}?" if close else "undertow settings shows all that there are"
        message = f"there is no setting {key!r}: {meant}"
        raise WrongUsage(message)
    return found


def commented_toml(given: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a settings file with every setting as a comment: its description and its default.

    `given` are the keys that are set, each with its value in TOML's notation.
    """
    lines = ["# Settings of Undertow. --set SECTION.KEY=VALUE and UNDERTOW_SECTION__KEY go before this file."]
    section = ""
    for one in sorted(all_settings(), key=lambda one: one.key.count(".")):  # a table takes all keys that follow it
        table = one.key.rpartition(".")[0]
        if table != section:
            lines += ["", f"[{table}]"]
            section = table
        lines += ["", *textwrap.wrap(f"{one.text} ({one.kind})", WIDTH, initial_indent="# ", subsequent_indent="# ")]
        name = one.key.rpartition(".")[2]
        lines.append(f"{name} = {given[one.key]}" if one.key in given else f"# {one.line}")
    return "\n".join(lines) + "\n"


def _settings_of(model: type[BaseModel], prefix: str) -> Iterator[Setting]:
    texts = _docstrings(model)
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings_of(field.annotation, f"{prefix}{name}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        yield Setting(key=f"{prefix}{name}", kind=_kind(field), default=_plain(default), text=texts.get(name, ""))


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field, including those of the parent classes."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls.__module__.startswith(__name__.partition(".")[0]):
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
            body = tree.body if isinstance(tree, ast.ClassDef) else []
            for statement, below in pairwise(body):
                match statement, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = " ".join(text.split())
    return found


def _kind(field: FieldInfo) -> str:
    words = list(dict.fromkeys(_words(field.annotation)))
    return " or ".join(words)


def _words(kind: Any) -> Iterator[str]:
    origin = get_origin(kind)
    if origin is Literal:
        yield "one of " + ", ".join(str(value) or "nothing" for value in get_args(kind))
    elif origin is Annotated:
        yield from _words(get_args(kind)[0])
    elif origin in (Union, UnionType):
        for one in get_args(kind):
            yield from _words(one)
    elif kind is not NoneType:
        yield KINDS.get(origin or kind, "text")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return list(value) if isinstance(value, tuple) else value


def _toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)  # numbers, and lists and tables that are empty

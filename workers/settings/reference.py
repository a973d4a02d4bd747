"""The reference of all settings, read off the sections themselves.

In: the classes of the sections and the docstrings below their fields. Out: one `Setting` for each key, and the text of
an `undertow.toml` that sets none of them. Knows no value that is in force.
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

from undertow.core.errors import Refused
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
    """What it takes, in words."""
    default: Any
    """Plain data, None where nothing is set."""
    text: str
    """What it is for, one paragraph."""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.key.replace(".", SEPARATOR).upper()

    @property
    def line(self) -> str:
        """Its line of a TOML file, within its table, with the default."""
        name = self.key.rpartition(".")[2]
        return f"{name} = {_toml(self.default)}".rstrip()


@cache
def all_settings() -> tuple[Setting, ...]:
    """Return all settings, section by section, in the order in which they are defined."""
    return tuple(_settings_of(Settings, ""))


def find_settings(key: str) -> tuple[Setting, ...]:
    """Return one setting, or those of a section. Raises `Refused` with what is close to a key that is none."""
    found = tuple(one for one in all_settings() if one.key == key or one.key.startswith(f"{key}."))
    if not found:
        keys = [one.key for one in all_settings()]
        close = difflib.get_close_matches(key, [*keys, *{name.partition(".")[0] for name in keys}], n=3)
        meant = f"did you mean {' or '.join(close)}?" if close else "undertow settings shows all that there are"
        message = f"there is no setting {key!r}: {meant}"
        raise Refused(message)
    return found


def commented_toml(given: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a settings file in which every setting stands with its default and what it is for, as a comment.

    `given` are those that are set, each key with its value as TOML writes it.
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
    """Return the text below each field, those of the classes it is derived from included."""
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

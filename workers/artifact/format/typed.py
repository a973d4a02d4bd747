"""Check that data read from JSON has the types that its dataclass declares.

In: a value and its type. Out: what is wrong and where, or nothing. Knows no file.

By hand, as the JSON forms themselves. Of a manifest, msgspec reads no union of dataclasses, such as the scalers, and
cattrs takes "6" for 6 and true for 1.0. Both make 1.0 of a 1 where a float is declared, which is another text, and so
another space; and the forms that are not their fields (pairs as keys, null for NaN) would stay by hand.
"""

import functools
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

KINDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "null",
    tuple: "a list",
    Mapping: "an object",
}


def find_wrong(value: object, hint: Any, where: str = "") -> str | None:
    """Return what was expected and found, and where, for the first wrong value; None if all types are right."""
    return next(_wrong(value, hint, where), None)


def _wrong(value: object, hint: Any, where: str) -> Iterator[str]:
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        faults = [find_wrong(value, one, where) for one in inner]
        if None not in faults:
            inside = [fault for fault, one in zip(faults, inner, strict=True) if _is_of(value, get_origin(one) or one)]
            yield inside[0] if inside and inside[0] else _say(value, hint, where)
    elif (origin is Literal and value not in inner) or not (origin is Literal or _is_of(value, origin)):
        yield _say(value, hint, where)
    elif origin is not Literal:
        yield from _inside(value, origin, inner, where)


def _inside(value: object, kind: Any, inner: tuple[Any, ...], where: str) -> Iterator[str]:
    if is_dataclass(value):
        for name, one in _fields(kind).items():
            yield from _wrong(getattr(value, name), one, f"{where}.{name}".lstrip("."))
    elif isinstance(value, tuple) and inner:
        of = (inner[0],) * len(value) if inner[-1] is Ellipsis else inner
        if len(of) != len(value):
            yield f"{where}: expected {len(of)} of them, found {len(value)}"
        for index, (item, one) in enumerate(zip(value, of, strict=False)):
            yield from _wrong(item, one, f"{where}.{index}")
    elif isinstance(value, Mapping) and inner:
        for key, item in value.items():
            yield from _wrong(key, inner[0], f"{where}, a key")
            yield from _wrong(item, inner[1], f"{where}.{key}")


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_of(value: object, kind: Any) -> bool:
    """Whether the value is of that type; a bool is not a number here, and an int is a valid float."""
    if kind is Any:
        return True
    if kind in (int, float):
        return isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def _say(value: object, hint: Any, where: str) -> str:
    of = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [_kind(one) for one in of]
    return f"{where}: expected {' or '.join(dict.fromkeys(kinds))}, found {reprlib.repr(value)}"


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    origin = get_origin(hint) or hint
    return KINDS.get(origin, "an object")

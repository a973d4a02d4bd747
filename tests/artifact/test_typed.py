"""The types of what was read: what pydantic, asked strictly, says of plain types; and what it cannot be asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from undertow.artifact.format.typed import find_wrong

TYPES = (
    int, float, str, bool, int | None, float | str, tuple[int, ...], tuple[str, int], tuple[tuple[float, ...], ...],
    Mapping[str, int], Mapping[str, tuple[str, ...] | None], Literal["a", "b"], Literal["a", 1] | None, Any,
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["a", "b", "1"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(TYPES), VALUES)
def test_what_is_right_is_what_pydantic_takes_strictly(hint: Any, value: Any) -> None:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        is_right = False
    else:
        is_right = True
    if hint == Literal["a", 1] | None and value is True:
        return  # which is 1 for one of them
    assert (find_wrong(value, hint) is None) == is_right


@dataclass(frozen=True)
class Inner:
    size: int
    names: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    others: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (Outer(Inner(1, {("a", "b"): 1})), None),
        (Outer(None), None),
        (Outer(Inner("1", {})), "inner.size: expected a whole number, found '1'"),  # type: ignore[arg-type]
        (Outer(Inner(1, {("a", "b"): "x"})), "inner.names.('a', 'b'): expected a number, found 'x'"),  # type: ignore[dict-item]
        (Outer(Inner(1, {"a": 1.0})), "inner.names, a key: expected a list, found 'a'"),  # type: ignore[dict-item]
        (Outer(7), "inner: expected an object or null, found 7"),  # type: ignore[arg-type]
        (Outer(None, (Inner(1, {}), Inner(True, {}))), "others.1.size: expected a whole number, found True"),
        (Outer(None, [Inner(1, {})]), "others: expected a list, found [Inner(size=1, names={})]"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_is_named_with_its_place(value: Outer, wrong: str | None) -> None:
    assert find_wrong(value, Outer) == wrong

"""Every part of a manifest comes back from its JSON form as it was, and is written again by the same bytes."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from undertow.artifact.format.certificate import Certificate
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.format.outputs import Output
from undertow.artifact.format.parts import Compiled
from undertow.artifact.format.pruning import Pruning
from undertow.artifact.format.recipes import ModelRecipe, ModuleRecipe, recipe_from_json
from undertow.artifact.format.sight import Sight
from undertow.artifact.format.typed import find_wrong
from undertow.core.features import TappedFeature
from undertow.core.preprocessing import Preprocessing
from undertow.core.scalers import FixedScaler, GroupScaler, RangeScaler, WindowScaler, scaler_from_json
from undertow.schemas.contract import InputContract

EXAMPLES = settings.default.max_examples // 5
BEFORE = Path(__file__).parents[1] / "before"
READERS: Mapping[Any, Callable[[Any], Any]] = {
    **{cls: cls.from_json for cls in (Certificate, Compiled, InputContract, Output, Preprocessing, Pruning, Sight)},
    **dict.fromkeys((FixedScaler, GroupScaler, RangeScaler, WindowScaler), scaler_from_json),
    **dict.fromkeys((ModelRecipe, ModuleRecipe), recipe_from_json),
    TappedFeature: TappedFeature.from_json,
}
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=4)
LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(-(2**53), 2**53),
    float: NUMBERS,
    bool: st.booleans(),
    NoneType: st.none(),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
        max_leaves=3,
    ),
}


@functools.cache
def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as our dataclasses have them: tuples and mappings of a few."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in LEAVES:
        return LEAVES[hint]
    if is_dataclass(hint):
        made: Any = st.builds(hint, **{name: of_type(one) for name, one in get_type_hints(hint).items()})
    elif origin is Literal:
        made = st.sampled_from(inner)
    elif origin in (Union, UnionType):
        made = st.one_of(*map(of_type, inner))
    elif origin in (tuple, list) and len(inner) == 1 + (Ellipsis in inner):
        made = st.lists(of_type(inner[0]), max_size=2).map(origin)
    elif origin is tuple:
        made = st.tuples(*map(of_type, inner))
    else:
        made = st.dictionaries(of_type(inner[0]), of_type(inner[1]), max_size=2)
    return made


@pytest.mark.parametrize("cls", READERS, ids=lambda cls: cls.__name__)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_part_comes_back_as_it_was_and_is_written_by_the_same_bytes(cls: Any, data: st.DataObject) -> None:
    one = data.draw(of_type(cls))
    text = json.dumps(one.to_json(), allow_nan=False)
    again = READERS[cls](json.loads(text))
    assert again == one
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert find_wrong(again, cls) is None


@pytest.mark.parametrize("path", sorted(BEFORE.glob("*/artifact")), ids=lambda path: path.parent.name)
def test_a_manifest_of_before_is_written_again_byte_by_byte(path: Path) -> None:
    written = (path / "manifest.json").read_text()
    manifest = read_manifest(path)
    assert json.dumps(manifest.to_json(), indent=2, allow_nan=False) + "\n" == written
    assert manifest.space == json.loads(written)["space"]

"""The arguments of a user's own Lightning module, as its checkpoint keeps them.

In: hyperparameters of a checkpoint, and the class or function that makes the module. Out: plain data for its recipe; or
a refusal. Knows no file and imports nothing.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from undertow.artifact.pack.read.state import StateDictFile
from undertow.core.errors import Refused


def find_arguments(make: Callable[..., object], state: StateDictFile, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the module: those that the checkpoint kept, overridden by those `given`."""
    if state.hyperparameters is None:
        return dict(given)
    accepted = inspect.signature(make).parameters.values()
    takes_all = any(one.kind is one.VAR_KEYWORD for one in accepted)
    names = {one.name for one in accepted}
    kept = {key: value for key, value in state.hyperparameters.items() if not str(key).startswith("_")}
    if state.argument in names and state.argument is not None:
        kept = {state.argument: kept}
    found = {key: value for key, value in kept.items() if key not in given and (takes_all or key in names)}
    plain = {}
    for key, value in found.items():
        try:
            plain[key] = _plain(value)
        except TypeError as error:
            message = (
                f"the hyperparameter {key} in {state.path} is {error}, which cannot be kept as JSON; give it in "
                f"[arguments] as the class takes it, or train with plain arguments: numbers, texts, lists and dicts"
            )
            raise Refused(message) from None
    return {**plain, **given}


def _plain(value: Any) -> Any:
    """Return the value as JSON would give it back. Raises `TypeError`, which names the part that is not plain data."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(one) for key, one in value.items()}
    message = f"a {type(value).__name__}"
    raise TypeError(message)

"""Compare two recipes of a fleet, for messages to people.

In: two recipes. Out: one line for each setting that differs; values that may be secret are not shown. Knows nothing of
what the settings mean.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from undertow.artifact.format.manifest import Manifest
from undertow.wiring.root import StreamRecipe

PASSED_OVER = frozenset({"partitions", "definition", "address", "force"})
"""A running fleet follows the topic's partitions by itself; Feast's definition of a view adds nothing to its name,
which contains the space. `fleet.address` is where it was found, and `fleet.force` is about its start."""
LONGEST_SHOWN = 60


def differences(running: StreamRecipe, wanted: StreamRecipe) -> list[str]:
    """Return one line per difference, empty where one fleet serves both."""
    return list(_walk("", running, wanted))


def _walk(path: str, running: Any, wanted: Any) -> Iterator[str]:
    if running == wanted:
        return
    if isinstance(running, Manifest) and isinstance(wanted, Manifest):
        if running.space != wanted.space:
            yield f"{path} is of space {running.space[:8]} there and {wanted.space[:8]} here"
    elif (shown := _shown(running)) and type(running) is type(wanted):
        for name, is_shown in shown.items():
            there, here, inner = getattr(running, name, None), getattr(wanted, name, None), f"{path}.{name}".lstrip(".")
            if is_shown:
                yield from _walk(inner, there, here)
            elif name not in PASSED_OVER and there != here:
                yield inner
    elif isinstance(running, tuple) and isinstance(wanted, tuple) and len(running) == len(wanted):
        for place, (there, here) in enumerate(zip(running, wanted, strict=True)):
            yield from _walk(f"{path}.{place}", there, here)
    else:
        yield _line(path, running, wanted)


def _shown(value: Any) -> dict[str, bool]:
    """Return the fields to compare, and whether a repr may show them; none for a plain value."""
    if isinstance(value, BaseModel):
        return {name: field.repr and name not in PASSED_OVER for name, field in type(value).model_fields.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: field.repr and field.name not in PASSED_OVER for field in fields(value)}
    return {}


def _line(path: str, running: Any, wanted: Any) -> str:
    shown = [str(value) for value in (running, wanted)]
    if isinstance(running, SecretStr) or isinstance(wanted, SecretStr) or max(map(len, shown)) > LONGEST_SHOWN:
        return path
    return f"{path} is {shown[0]!r} there and {shown[1]!r} here"

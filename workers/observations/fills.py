"""What becomes of holes, as it is written and as it is meant.

In: `none`, `forward`, `null`, a number, or `constant:TEXT`. Out: a `Fill`. Knows no column.
"""

import math
from dataclasses import dataclass
from typing import Literal

from undertow.core.errors import Refused

_CONSTANT = "constant:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What becomes of a column's holes."""

    kind: Literal["none", "forward", "constant", "null"]
    constant: str | float = 0.0
    """What holes are filled with, if `kind` is `constant`: a text may be a number, or a category."""


NO_FILL = Fill(kind="none")


def parse_fill(given: str | float) -> Fill:
    """Read a fill. Raises `Refused`."""
    match given:
        case "none" | "forward" | "null":
            return Fill(kind=given)
        case str() if given.startswith(_CONSTANT):
            return Fill(kind="constant", constant=given.removeprefix(_CONSTANT))
        case int() | float() if not isinstance(given, bool) and math.isfinite(given):
            return Fill(kind="constant", constant=float(given))
        case _:
            message = f"windows.fill: expected none, forward, null, a number or constant:TEXT, found {given!r}"
            raise Refused(message)

"""Parse the text of a tap, `path#call[element][element]`, where a name may contain these separators.

In: a text, and the paths of a model where it is known. Out: its path, call and elements, and what follows. Knows
neither torch nor poolings.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PLACE = rf'(#(?P<call>-?\d+))?(?P<select>(\[({_QUOTED}|[^\[\]"]+)\])*)(?P<rest>[:,].*)?'
_TAP = re.compile(rf'(?P<path>{_QUOTED}|[^#\[\]:,"]+){_PLACE}', re.DOTALL)
_BEHIND = re.compile(_PLACE, re.DOTALL)
_ELEMENT = re.compile(rf'\[({_QUOTED}|[^\[\]"]+)\]')
_BARE = re.compile(r"[^\s#\[\]:,=\"'\\]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TapText:
    """What a text says."""

    path: str
    call: int
    """From 0; -1 is the last one."""
    select: tuple[int | str, ...]
    rest: str
    """What follows: a pooling behind a colon, a reduction behind a comma, or nothing."""


def as_text(name: str) -> str:
    """Write a module's path or an element's key so that it reads back: as it is, or in quotes as JSON writes them."""
    return name if name.isprintable() and _BARE.fullmatch(name) else quoted(name)


def quoted(name: str) -> str:
    """Write a name in quotes, without a sign that a terminal would obey."""
    return json.dumps(name, ensure_ascii=not name.isprintable())


def as_element(text: str) -> int | str:
    """Read one element of an output: the key "0" of a dict and the place 0 of a tuple are written alike."""
    return int(text) if re.fullmatch(r"0|[1-9][0-9]*", text) else text


def read_tap(text: str, paths: Collection[str] = ()) -> TapText | None:
    """Read the text; None where it is none of a tap.

    A path may stand in quotes. Where it does not and is none of `paths`, the longest of them that the text begins with
    and that leaves a call, elements or a pooling behind it is meant: `by.lag:7:mean`.
    """
    match = _TAP.fullmatch(text)
    path = _unquoted(match["path"]) if match else None
    if match is None or path is None or (path not in paths and not text.startswith('"')):
        for known in sorted(filter(text.startswith, paths), key=len, reverse=True):
            if behind := _BEHIND.fullmatch(text, len(known)):
                match, path = behind, known
                break
    if match is None or path is None:
        return None
    elements = [_unquoted(element) for element in _ELEMENT.findall(match["select"])]
    select = tuple(as_element(one) for one in elements if one is not None)
    if len(select) < len(elements):
        return None
    return TapText(path=path, call=int(match["call"] or 0), select=select, rest=match["rest"] or "")


def _unquoted(name: str) -> str | None:
    if not name.startswith('"'):
        return name
    try:
        return str(json.loads(name, strict=False))
    except ValueError:
        return None

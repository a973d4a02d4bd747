"""Parse the text of a tap, `path#call[element][element]`, in which names may contain these separators.

In: a text, and the module paths of the model, if known. Out: path, call, elements, and the rest of the text. Knows
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
    """A parsed text."""

    path: str
    call: int
    """From 0; -1 is the last one."""
    select: tuple[int | str, ...]
    rest: str
    """The rest: a pooling after a colon, a reduction after a comma, or nothing."""


def as_text(name: str) -> str:
    """Format a module's path or an element's key so that it can be parsed: as it is, or quoted as in JSON."""
    return name if name.isprintable() and _BARE.fullmatch(name) else quoted(name)


def quoted(name: str) -> str:
    """Quote a name, with control characters escaped."""
    return json.dumps(name, ensure_ascii=not name.isprintable())


def as_element(text: str) -> int | str:
    """Parse one element of an output. The key "0" of a dict and index 0 of a tuple are written the same way."""
    return int(text) if re.fullmatch(r"0|[1-9][0-9]*", text) else text


def read_tap(text: str, paths: Collection[str] = ()) -> TapText | None:
    """Parse the text; return None if it is not a tap.

    A path may be quoted. Otherwise the longest of `paths` is taken that the text begins with and that leaves a valid
    rest, so that `by.lag:7:mean` is understood.
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

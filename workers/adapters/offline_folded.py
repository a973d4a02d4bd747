"""What a chain remembers of being folded into the table of history: who it is, and up to which part.

In: a chain's folder. Out: notes in its subfolder `_folded`, which move with it. Each is created once and never changed,
so two maintainers cannot set each other back, and any store that creates a name at most once could hold them. Knows no
table.

`chain.json` holds a nonce, by which the table knows the chain: one that is begun anew in the same folder is another.
`<position>.json` says that the parts before that position are in the table; the newest counts, older ones tell when.
"""

import json
import re
import uuid
from dataclasses import dataclass

from undertow.adapters.offline_files import publish
from undertow.core.errors import Refused
from undertow.storage.store_path import AnyPath

FOLDER, IDENTITY = "_folded", "chain.json"
"""Readers of Parquet ignore folders that begin with an underscore, and these files are none."""
MARK_NAME = re.compile(r"[0-9]{20}\.json").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldMark:
    """A note that the parts of a chain before a position are in the table."""

    position: int = 0
    """The number in the name of the first part that was not folded. Unlike offsets, positions never repeat."""
    parts: int = 0
    """How many parts the chain had before it."""
    at_s: float = 0.0
    """When it was noted, in seconds since the epoch: no reader that begins later needs these parts."""


NOT_FOLDED = FoldMark()


def chain_id(folder: AnyPath) -> str:
    """Return the chain's nonce; empty if it was never folded. Raises `Refused` for a damaged note, `OSError`."""
    note = folder / FOLDER / IDENTITY
    try:
        return str(json.loads(note.read_bytes())["chain"])
    except (FileNotFoundError, NotADirectoryError) as error:
        if _names(folder):  # the table knows the chain by it
            message = f"{note} is gone, though the chain was folded; restore it from a copy"
            raise Refused(message) from error
        return ""
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(note, error) from error


def make_chain_id(folder: AnyPath) -> str:
    """Return the chain's nonce, made if it has none: two that make one return the same. Raises as `publish`."""
    if not (known := chain_id(folder)):
        publish(folder / FOLDER / IDENTITY, json.dumps({"chain": uuid.uuid4().hex}).encode(), within=folder)
        known = chain_id(folder)
    return known


def newest_mark(folder: AnyPath) -> FoldMark:
    """Return up to where a chain is noted as folded. Raises `Refused` for a damaged note, `OSError`."""
    names = _names(folder)
    return _read(folder / FOLDER / names[-1]) if names else NOT_FOLDED


def parts_before(folder: AnyPath, position: int) -> int:
    """Return how many parts a chain had before a noted position. Raises `Refused` for a damaged note, `OSError`."""
    return _read(folder / FOLDER / _name(position)).parts if position else 0


def all_marks(folder: AnyPath) -> tuple[FoldMark, ...]:
    """Return all notes, oldest first. Raises `Refused` for a damaged one, `OSError`."""
    return tuple(_read(folder / FOLDER / name) for name in _names(folder))


def add_mark(folder: AnyPath, mark: FoldMark) -> None:
    """Note it, durable on return; keep what is noted of the same position. Raises as `publish`."""
    content = json.dumps({"parts": mark.parts, "at": mark.at_s}).encode()
    publish(folder / FOLDER / _name(mark.position), content, within=folder)


def drop_marks(folder: AnyPath, *, before: int) -> None:
    """Remove the notes of earlier positions: whatever they allow has been done."""
    for name in _names(folder):
        if name < _name(before):
            (folder / FOLDER / name).unlink(missing_ok=True)


def _names(folder: AnyPath) -> list[str]:
    try:
        return sorted(filter(MARK_NAME, (path.name for path in (folder / FOLDER).iterdir())))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _name(position: int) -> str:
    return f"{position:020d}.json"


def _read(note: AnyPath) -> FoldMark:
    try:
        said = json.loads(note.read_bytes())
        return FoldMark(position=int(note.stem), parts=int(said["parts"]), at_s=float(said["at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(note, error) from error


def _damaged(note: AnyPath, error: Exception) -> Refused:
    return Refused(f"{note} is damaged ({error}); restore it from a copy")

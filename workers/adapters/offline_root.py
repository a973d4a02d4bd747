"""The identity of an offline log, and the ownership of its folders by views.

In: the log's root and views. Out: folders, each with a note of the view that it holds; the log's identity, a nonce that
is created once. Knows neither the content of parts nor Ray.

`<root>/_log.json` holds the nonce, `<root>/<view>/_view.json` the view. Earlier versions wrote no notes, and named the
folder by the space only: such a folder stays in place, and belongs to the view for which it was made.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.offline_advice import no_file
from undertow.adapters.offline_files import make_folder, publish
from undertow.adapters.offline_parts import part_files, part_schema
from undertow.core.errors import Refused, Unavailable
from undertow.core.identity import refuse_another
from undertow.schemas.spaces import SpaceView
from undertow.storage.conditional_puts import require_conditional_puts
from undertow.storage.fault_words import LET_READ, why
from undertow.storage.store_path import AnyPath, StorePath

LOG_NOTE, VIEW_NOTE = "_log.json", "_view.json"
"""Names with an underscore, since readers of Parquet ignore such files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """The log that every writer of parts must see."""

    root: AnyPath
    """Absolute."""
    nonce: str

    def require(self) -> None:
        """Raise `Refused` if this process, on its node, does not see that log."""
        if (found := read_nonce(self.root)) != self.nonce:
            seen = f"another one ({found[:8]})" if found else "none"
            message = (
                f"expected the offline log {self.nonce[:8]} at {self.root}, as the command that started this sees it; "
                f"this node sees {seen} there: offline.path must be one folder that all nodes share (NFS, a volume)"
            )
            raise Refused(message)

    def require_still(self) -> None:
        """Raise `Unavailable` if the log is not there any more: its disk may be unmounted for a while."""
        if self.nonce and (found := read_nonce(self.root)) != self.nonce:
            seen = f"another one ({found[:8]})" if found else "none"
            message = (
                f"the log's folder is gone: expected the offline log {self.nonce[:8]} at {self.root}, found {seen}; "
                "mount its disk again, or restore it from a copy; it will be tried again"
            )
            raise Unavailable(message)


def read_nonce(root: AnyPath) -> str:
    """Return the log's nonce; empty if there is no log, or one of an earlier version.

    Raises `Refused` for a damaged note, `Unavailable`.
    """
    if (note := _read(root / LOG_NOTE)) is None:
        return ""
    if not isinstance(nonce := note.get("log"), str) or not nonce:
        message = f"{root / LOG_NOTE} is damaged: it names no log; restore it from a copy"
        raise Refused(message)
    return nonce


def make_log(root: AnyPath) -> LogIdentity:
    """Return the identity of the log in this folder; create it if there is none (the first process wins)."""
    root = root.absolute()
    if not (nonce := read_nonce(root)):
        if isinstance(root, StorePath):
            require_conditional_puts(root)
        make_folder(root)
        publish(root / LOG_NOTE, json.dumps({"log": uuid.uuid4().hex}).encode(), within=root)
        nonce = read_nonce(root)
    return LogIdentity(root=root, nonce=nonce)


def view_folder(root: AnyPath, view: SpaceView) -> AnyPath:
    """Return the view's folder in the log, which need not exist yet."""
    old = root / view.space
    note = _read(old / VIEW_NOTE)
    return old if note is not None and note.get("name") == view.name else root / view.view


def claim_folder(root: AnyPath, view: SpaceView, *, registered: Iterable[Mapping[str, Any]] = ()) -> AnyPath:
    """Return the view's folder in the log, created and marked with its note if need be.

    `registered` are the views in Feast's repository, with an absolute `offline`, which show the owner of a folder of an
    earlier version. Raises `Refused` if the folder belongs to another view: one of the same name, with other ids or
    another space.
    """
    registered = [*registered]
    require_unclaimed(root, view, registered)
    folder, old = view_folder(root, view), root / view.space
    if not folder.exists() and _was_made_for(old, view, registered):
        folder = old
    make_folder(folder)
    ours = {"name": view.name, "space": view.space, "series": view.to_json()["series"]}
    publish(folder / VIEW_NOTE, json.dumps(ours).encode(), within=folder)
    require_own(folder, view)
    return folder


def require_unclaimed(root: AnyPath, view: SpaceView, registered: Iterable[Mapping[str, Any]]) -> None:
    """Raise `Refused` if another view has this name, in Feast's repository or in the log. Changes nothing."""
    for data in registered:
        if (known := SpaceView.from_json(data)).view == view.view:
            refuse_another(view, known, where="Feast's repository")
    require_own(view_folder(root, view), view)


def require_own(folder: AnyPath, view: SpaceView) -> None:
    """Raise `Refused` if the folder's note names another view."""
    theirs = read_owner(folder)
    if theirs is None:
        return
    if theirs.name != view.name:  # another process has just claimed this folder of an earlier version
        message = f"{folder} has become the folder of {theirs.view}; run the same command again"
        raise Refused(message)
    refuse_another(view, theirs, where=f"the offline log in {folder.parent}")


def read_owner(folder: AnyPath) -> SpaceView | None:
    """Return the view that the folder's note names, without its features; None if there is no note.

    Raises `Refused` for a damaged note, `Unavailable`.
    """
    if (note := _read(folder / VIEW_NOTE)) is None:
        return None
    try:
        return SpaceView.from_json({"features": [], "description": "", **note})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{folder / VIEW_NOTE} is damaged (it lacks or garbles {error}); restore it from a copy"
        raise Refused(message) from error


def _was_made_for(old: AnyPath, view: SpaceView, registered: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an earlier version wrote this folder for this view: it is registered so, or no other view is."""
    if isinstance(old, StorePath) or not old.is_dir() or (old / VIEW_NOTE).exists():
        return False  # no earlier version wrote into a store
    owners = {str(data["name"]) for data in registered if data["offline"] == os.path.normpath(old)}
    if owners and view.name not in owners:
        return False
    part = next(iter(part_files(old)), None)
    try:
        return part is None or set(pq.read_schema(part).names) == set(part_schema(view).names)
    except (pa.ArrowException, OSError) as error:
        message = f"{part} is damaged ({error}); restore it from a copy, or move it out of the folder"
        raise Refused(message) from error


def _read(note: AnyPath) -> dict[str, Any] | None:
    try:
        data = json.loads(note.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        message = f"{note} cannot be read {why(note, error, LET_READ)}"
        raise Refused(message) from error
    except IsADirectoryError as error:
        raise no_file(note) from error
    except OSError as error:
        message = f"{note} could not be read {why(note, error, 'repair its disk')}: it will be tried again"
        raise Unavailable(message) from error
    except ValueError as error:
        message = f"{note} is damaged ({error}); restore it from a copy"
        raise Refused(message) from error
    if not isinstance(data, dict):
        message = f"{note} is damaged: expected a JSON object; restore it from a copy"
        raise Refused(message)
    return data

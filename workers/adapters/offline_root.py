"""The owners of folders in the offline log, and the log's identity, which is the same for all its writers.

In: the log's root and views. Out: folders, each with a note that says which view it holds; the log's identity, a nonce
that is made once. Knows neither what a part holds nor Ray.

`<root>/_log.json` holds the nonce, `<root>/<view>/_view.json` the view. Earlier versions wrote no notes, and named the
folder by the space alone: such a folder stays where it is, and becomes that of the view which it was made for.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.offline_files import make_folder, publish
from undertow.adapters.offline_parts import part_files, part_schema
from undertow.core.errors import Refused, Unavailable
from undertow.core.identity import refuse_another
from undertow.schemas.spaces import SpaceView

LOG_NOTE, VIEW_NOTE = "_log.json", "_view.json"
"""Readers of Parquet look into no file that begins with an underscore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIdentity:
    """The log that whoever writes a part must see."""

    root: Path
    """Absolute."""
    nonce: str

    def require(self) -> None:
        """Raise `Refused` where this process, on its node, does not see that very log."""
        if (found := read_nonce(self.root)) != self.nonce:
            seen = f"another one ({found[:8]})" if found else "none"
            message = (
                f"expected the offline log {self.nonce[:8]} at {self.root}, as the command that started this sees it; "
                f"this node sees {seen} there: offline.path must be one folder that all nodes share (NFS, a volume)"
            )
            raise Refused(message)

    def require_still(self) -> None:
        """Raise `Unavailable` where what was that very log is not now: its disk may have gone for a while."""
        if self.nonce and (found := read_nonce(self.root)) != self.nonce:
            seen = f"another one ({found[:8]})" if found else "none"
            message = (
                f"the log's folder is gone: expected the offline log {self.nonce[:8]} at {self.root}, found {seen}; "
                "mount its disk again, or restore it from a copy; it will be tried again"
            )
            raise Unavailable(message)


def read_nonce(root: Path) -> str:
    """Return the log's nonce; empty where there is no log, or one of an earlier version."""
    return str((_read(root / LOG_NOTE) or {}).get("log", ""))


def make_log(root: Path) -> LogIdentity:
    """Return the identity of the log in this folder, which is made where it is not there. Whoever comes first, wins."""
    root = root.absolute()
    if not (nonce := read_nonce(root)):
        make_folder(root)
        publish(root / LOG_NOTE, json.dumps({"log": uuid.uuid4().hex}).encode(), within=root)
        nonce = read_nonce(root)
    return LogIdentity(root=root, nonce=nonce)


def view_folder(root: Path, view: SpaceView) -> Path:
    """Return where the log keeps this view, whether or not there is anything yet."""
    old = root / view.space
    note = _read(old / VIEW_NOTE)
    return old if note is not None and note.get("name") == view.name else root / view.view


def claim_folder(root: Path, view: SpaceView, *, registered: Iterable[Mapping[str, Any]] = ()) -> Path:
    """Return the view's folder in the log, made and noted as its own where it was not.

    `registered` is what Feast's repository knows of views, with an absolute `offline`: by it a folder of an earlier
    version finds its owner. Raises `Refused` where the folder is another's: of the same name, and of other ids or
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


def require_unclaimed(root: Path, view: SpaceView, registered: Iterable[Mapping[str, Any]]) -> None:
    """Raise `Refused` where the view's name is another's, in Feast's repository or in the log. Changes nothing."""
    for data in registered:
        if (known := SpaceView.from_json(data)).view == view.view:
            refuse_another(view, known, where="Feast's repository")
    require_own(view_folder(root, view), view)


def require_own(folder: Path, view: SpaceView) -> None:
    """Raise `Refused` where the folder's note says that it holds something else."""
    note = _read(folder / VIEW_NOTE)
    if note is None:
        return
    theirs = SpaceView.from_json({"features": [], "description": "", **note})
    if theirs.name != view.name:  # another that came at the same moment has just taken this one of an earlier version
        message = f"{folder} has become the folder of {theirs.view}; run the same command again"
        raise Refused(message)
    refuse_another(view, theirs, where=f"the offline log in {folder.parent}")


def _was_made_for(old: Path, view: SpaceView, registered: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an earlier version wrote this folder for this view: it is registered so, or nobody else is."""
    if not old.is_dir() or (old / VIEW_NOTE).exists():
        return False
    owners = {str(data["name"]) for data in registered if data["offline"] == os.path.normpath(old)}
    if owners and view.name not in owners:
        return False
    part = next(iter(part_files(old)), None)
    try:
        return part is None or set(pq.read_schema(part).names) == set(part_schema(view).names)
    except (pa.ArrowException, OSError) as error:
        message = f"{part} is damaged ({error}); restore it from a copy, or move it out of the folder"
        raise Refused(message) from error


def _read(note: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(note.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        message = f"{note} cannot be read ({error.strerror}); give this user the right to read it"
        raise Refused(message) from error
    except OSError as error:
        message = f"{note} could not be read ({error}); repair its disk: it will be tried again"
        raise Unavailable(message) from error
    except ValueError as error:
        message = f"{note} is damaged ({error}); restore it from a copy"
        raise Refused(message) from error
    if not isinstance(data, dict):
        message = f"{note} is damaged: expected a JSON object; restore it from a copy"
        raise Refused(message)
    return data

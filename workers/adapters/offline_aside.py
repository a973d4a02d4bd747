"""Set the chains of a topic aside that was deleted and made anew, so that chains of the new one begin in their place.

In: a view's folder, the topic, the id that it had. Out: the chains in `<topic>@<id>`, whose rows readers still find.

On a disk one rename does it. A store has none: objects are copied and deleted one after another, and whoever saw some
of them here and some there would take one chain for two. So a note is made first and taken away last, and as long as it
is there, nobody lists chains. Killed anywhere, the same call goes on.
"""

import contextlib
import json
import uuid
from itertools import groupby
from pathlib import Path

from undertow.adapters.offline_chains import MOVING, moving_to, require_still
from undertow.adapters.offline_folded import FOLDER as FOLDED
from undertow.adapters.offline_log import last_footers
from undertow.adapters.offline_parts import translated
from undertow.core.errors import Refused, Unavailable
from undertow.core.publication import publish_folder
from undertow.storage.at_once import at_once
from undertow.storage.creation import create_object
from undertow.storage.store_path import AnyPath, StorePath, below


def set_aside(home: AnyPath, topic: str, topic_id: str) -> bool:
    """Move the chains of a topic that had this id; return False, having changed nothing, if there are none.

    Raises `Refused` if the chains are of another id, or if others are set aside already, and `Unavailable`.
    """
    source, target = home / topic, home / f"{topic}@{topic_id}"
    is_begun = moving_to(home) == target.name
    if not is_begun:
        require_still(home)
        if not _has_chains_of(source, topic_id):
            return False
        if target.exists():
            message = f"chains of topic id {topic_id} were set aside before: {target} is there; move one of them away"
            raise Refused(message)
    with translated(home):
        if isinstance(source, StorePath) and isinstance(target, StorePath):
            _move_objects(source, target)
        elif isinstance(source, Path) and isinstance(target, Path):
            publish_folder(source, target)
    return True


def _has_chains_of(source: AnyPath, topic_id: str) -> bool:
    found = {footer.topic_id for footer in last_footers(source)}
    if found - {topic_id}:
        message = (
            f"expected the chains in {source} to be of topic id {topic_id}, found {', '.join(sorted(found))}; those of "
            "a topic that is still there must stay"
        )
        raise Refused(message)
    return bool(found)


def _move_objects(source: StorePath, target: StorePath) -> None:
    note = source.parent / MOVING
    content = json.dumps({"from": source.name, "to": target.name, "by": uuid.uuid4().hex}).encode()
    if not create_object(note, content) and moving_to(source.parent) != target.name:
        message = f"other chains of {source.parent} are being moved; see undertow maintain --set-aside"
        raise Unavailable(message)
    while found := sorted(source.walk_objects(), key=_turn):
        for _, objects in groupby(found, key=_turn):
            at_once(lambda path: _copy(path, target / below(path, source)), [*objects])
        for path in found:
            path.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def _turn(path: StorePath) -> bool:
    """Sort what a chain notes of itself first: parts without it would be those of one that was never folded."""
    return path.parent.name != FOLDED


def _copy(source: AnyPath, target: StorePath) -> None:
    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile by a maintainer that has begun before
        content = source.read_bytes()
        if target.is_file() and target.read_bytes() == content:
            return
        target.write_bytes(content)

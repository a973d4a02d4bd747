"""The checks of `undertow check` on the offline log: whether it can be written, was applied, and lacks no part.

In: settings. Out: a sentence. Changes nothing.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from undertow.adapters.kafka_admin import describe_topic
from undertow.adapters.offline_chains import count_parts, require_whole
from undertow.adapters.offline_log import require_topic
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_verify import verify
from undertow.core.errors import Refused, UndertowError
from undertow.schemas.wording import counted
from undertow.settings.settings import Settings
from undertow.storage.conditional_puts import require_conditional_puts
from undertow.storage.store_path import AnyPath
from undertow.wiring.recipes import EmbedRecipe, require_applied_log


def look_at_log(settings: Settings, recipe_of: Callable[[AnyPath], EmbedRecipe]) -> str:
    """Describe the log. Raises `Refused` if it cannot be written, or a part is missing."""
    path = settings.offline.path
    if isinstance(path, Path):
        can_be = f"{_writable(path)} can be written"
    elif settings.offline.enabled:
        races = require_conditional_puts(path)
        can_be = f"of several that create an object there exactly one does ({counted(races, 'race')})"
    if not settings.offline.enabled:
        return "off"
    count = parts = 0
    for artifact in settings.model.artifacts:
        try:
            recipe = recipe_of(artifact)
        except UndertowError:  # reported by its own lines
            continue
        require_applied_log(recipe)
        home = view_folder(path, recipe.manifest.view())
        chains = require_whole(home)
        if chains:
            _require_todays_topic(settings, home)
        count, parts = count + len(chains), parts + sum(count_parts(*chain) for chain in chains.items())
    if count:
        said = f"{path}, {counted(count, 'chain')} of {counted(parts, 'part')}, none missing"
        return said if isinstance(path, Path) else f"{said}; {can_be}"
    if path.exists():
        return f"{path}, which can be written; no partition has a part there yet"
    return f"{path} is not there yet; undertow run or undertow backfill makes it: {can_be}"


def _writable(path: Path) -> Path:
    """Return the folder, or the nearest above it that is there. Raises `Refused` where it cannot be written."""
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not existing.is_dir():
        message = f"offline.path = {path} cannot be a folder: {existing} is a file"
        raise Refused(message)
    if not os.access(existing, os.W_OK):
        message = f"offline.path = {path} cannot be written: {_why_closed(existing)}"
        raise Refused(message)
    return existing


def _why_closed(folder: Path) -> str:
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} lies on a file system that is mounted read-only; mount a disk or a volume there"
    return f"{folder} is closed to this user (uid {os.geteuid()}); give it the right to write there"


def _require_todays_topic(settings: Settings, home: AnyPath) -> None:
    """Raise `Refused`, as `undertow run` would, if the chains belong to another topic than the broker has now."""
    try:
        topic = describe_topic(settings.kafka)
    except UndertowError:  # reported by its own line
        return
    require_topic(home, topic.name, cluster_id=topic.cluster_id, topic_id=topic.topic_id)


def read_log(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    """Read the whole log; yield a function that returns the summary, and one that raises for each damaged file."""
    verified = verify(settings.offline.path)
    yield "offline log, read whole", lambda: str(verified)
    for fault in verified.faults:
        yield "offline log, read whole", partial(_refuse, fault)


def _refuse(fault: str) -> str:
    raise Refused(fault)

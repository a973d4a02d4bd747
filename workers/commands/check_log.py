"""What `undertow check` says of the offline log: can it be written, was it applied, are its chains whole.

In: settings. Out: a sentence. Changes nothing.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from undertow.adapters.kafka_admin import describe_topic
from undertow.adapters.offline_chains import require_whole
from undertow.adapters.offline_log import require_topic
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_verify import verify
from undertow.core.errors import Refused, UndertowError
from undertow.schemas.wording import counted
from undertow.settings.settings import Settings
from undertow.wiring.recipes import EmbedRecipe, require_applied_log


def look_at_log(settings: Settings, recipe_of: Callable[[Path], EmbedRecipe]) -> str:
    """Return what is there. Raises `Refused` where it cannot be written or lacks something."""
    path = settings.offline.path
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        message = f"offline.path = {path} cannot be written: {existing} belongs to somebody else"
        raise Refused(message)
    if not settings.offline.enabled:
        return "off"
    count = parts = 0
    for artifact in settings.model.artifacts:
        try:
            recipe = recipe_of(artifact)
        except UndertowError:  # which has lines of its own
            continue
        require_applied_log(recipe)
        home = view_folder(path, recipe.manifest.view())
        chains = require_whole(home)
        if chains:
            _require_todays_topic(settings, home)
        count, parts = count + len(chains), parts + sum(map(len, chains.values()))
    return f"{path}, {counted(count, 'chain')} of {counted(parts, 'part')}, none missing" if count else str(path)


def _require_todays_topic(settings: Settings, home: Path) -> None:
    """Raise `Refused`, as `undertow run` will, where the chains are of another topic than the broker has today."""
    try:
        topic = describe_topic(settings.kafka)
    except UndertowError:  # which has a line of its own
        return
    require_topic(home, topic.name, cluster_id=topic.cluster_id, topic_id=topic.topic_id)


def read_log(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    """Read the whole log; yield what says how much that was, and what raises `Refused` for each damaged file."""
    verified = verify(settings.offline.path)
    yield "offline log, read whole", lambda: str(verified)
    for fault in verified.faults:
        yield "offline log, read whole", partial(_refuse, fault)


def _refuse(fault: str) -> str:
    raise Refused(fault)

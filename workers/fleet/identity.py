"""Whether a running fleet is the one of the project in which a command is given: two projects may name theirs alike.

In: the handshake of a fleet's controller, settings. Out: what differs, or `Refused`. Knows neither Ray nor Kafka.

A fleet is a project's where it writes the project's offline log, whatever model it serves: a newer one may be packed or
promoted while it runs. Paths may differ where a command is given, so it is also where it reads the same topic, of the
same broker, for one of the project's artifacts.
"""

import contextlib
import shlex
from collections.abc import Iterable
from typing import Any

from undertow.artifact.format.manifest import read_manifest
from undertow.core.errors import Refused
from undertow.fleet.handshake import Handshake
from undertow.settings.settings import Settings
from undertow.wiring.root import StreamRecipe


def served(recipe: StreamRecipe) -> dict[str, Any]:
    """Return the fields of a handshake that say whose fleet it is."""
    logs = {str(one.log.root) for one in recipe.artifacts if one.log is not None}
    return {
        "serves": tuple(one.manifest.view().view for one in recipe.artifacts),
        "topic": recipe.kafka.topic,
        "bootstrap": recipe.kafka.bootstrap,
        "log": next(iter(logs), ""),
    }


def difference(fleet: Handshake, settings: Settings) -> str | None:
    """Say in what a fleet differs from these settings; None where it is theirs, or does not say whose it is."""
    if not fleet.serves:
        return None
    views, log = tuple(_views(settings)), str(settings.offline.path.absolute()) if settings.offline.enabled else ""
    source = {
        "kafka.topic": (fleet.topic, settings.kafka.topic),
        "kafka.bootstrap": (fleet.bootstrap, settings.kafka.bootstrap),
    }
    reads_same = all(there == here for there, here in source.values())
    serves_same = bool(set(views) & set(fleet.serves))
    if (log and log == fleet.log) or (reads_same and serves_same):
        return None
    artifacts = f"it serves {', '.join(fleet.serves)}, and the artifact here is {', '.join(views) or 'none'}"
    values = {**source, "offline.path": (fleet.log, log)}
    differing = [
        f"{key} is {there!r} there and {here!r} here" for key, (there, here) in values.items() if there != here
    ]
    return "; ".join(differing if serves_same else [artifacts, *differing])


def refuse_another_project(name: str, fleet: Handshake, settings: Settings, *, command: str) -> None:
    """Raise `Refused` where it is another project's fleet, with the command that names it on purpose."""
    if differs := difference(fleet, settings):
        message = (
            f"fleet {name!r} is of another project: {differs}. Set fleet.name to that of the fleet that you mean, or, "
            f"if it is this one: {naming(command, name)}"
        )
        raise Refused(message)


def naming(command: str, name: str) -> str:
    """Return the command that names the fleet on purpose, as for a shell."""
    return f"{command} --set {shlex.quote(f'fleet.name={name}')}"


def _views(settings: Settings) -> Iterable[str]:
    for path in settings.model.artifacts:
        with contextlib.suppress(Refused):  # none is packed here yet
            yield read_manifest(path).view().view

"""`undertow check`: show the settings in force and their origins, and test whether what they name can be reached.

In: overrides from the command line. Out: a table, and one line for each part. Changes nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from undertow.adapters.kafka_admin import (
    describe_dead_letters,
    describe_topic,
    refuse_live_group,
    require_broker,
    require_topic_codec,
)
from undertow.adapters.kafka_lease import KafkaLease
from undertow.adapters.offline_root import LogIdentity, read_nonce, view_folder
from undertow.artifact.format.allowed_code import require_allowed_code
from undertow.artifact.format.manifest import read_manifest, read_weights
from undertow.commands.check_log import look_at_log, read_log
from undertow.core.errors import Refused, UndertowError
from undertow.core.extras import require_extras
from undertow.core.masking import masked
from undertow.core.readable import one_line
from undertow.core.toml_files import read_toml
from undertow.fleet.lease import held_by, holder
from undertow.history.look import compare_online
from undertow.schemas.wording import counted
from undertow.settings.local_paths import goes_with_container
from undertow.settings.settings import TOML, Settings, load
from undertow.storage.store_path import AnyPath
from undertow.telemetry.output import MOST_WIDTH
from undertow.wiring.formats import check_format
from undertow.wiring.known_topic import read_known_topic
from undertow.wiring.observed_source import describe_content
from undertow.wiring.recipes import EmbedRecipe, embed_recipe
from undertow.wiring.root import group_settings
from undertow.wiring.stores import check_online

LEAST_CELL = len("default")
"""The least width of a value and of where it is from, in letters."""
ASK_BROKER = frozenset({"known ahead", "dead letters", "group"})
"""The parts that ask the broker, beside that of its topic, which comes before them."""


class NoBrokerError(UndertowError):
    """The broker cannot be connected to, so that whatever else is asked of it would fail in the same words."""


def check(overrides: Iterable[str], console: Console, *, verify: bool = False) -> bool:
    """Print all lines; return whether all parts can be reached. With `verify`, read the whole offline log."""
    given = tuple(overrides)
    settings = load(given)
    # Columns that wrap, but not to nothing: a console that is narrower still wraps whole lines.
    wrapped = (Column(name, overflow="fold", min_width=LEAST_CELL) for name in ("value", "from"))
    table = Table(Column("setting", no_wrap=True), *wrapped)
    for key, value in _flat(settings.model_dump()):
        table.add_row(key, _text(masked(key, value)), _origin(key, given))
    least = Measurement.get(console, console.options.update(max_width=MOST_WIDTH), table).minimum
    table.width = least if console.width < least else None
    console.print(table, crop=False)
    fine, has_broker = True, True
    for name, look in chain(_parts(settings), read_log(settings) if verify else ()):
        if name in ASK_BROKER and not has_broker:
            console.print(Text.assemble(("skipped", "yellow"), f" {name}: no broker"), soft_wrap=True)
            continue
        try:
            console.print(Text.assemble(("ok", "green"), f"      {name}: {one_line(look())}"), soft_wrap=True)
        except UndertowError as error:
            fine, has_broker = False, has_broker and not isinstance(error, NoBrokerError)
            console.print(Text.assemble(("failed", "red"), f"  {name}: {one_line(str(error))}"), soft_wrap=True)
    for what, path in _kept(settings):
        if goes_with_container(path):
            text = (
                f"{what} ({path}) goes with this container: mount a volume there (deploy/OPERATIONS.md#in-containers)"
            )
            console.print(Text.assemble(("note", "yellow"), f"    {text}"), soft_wrap=True)
    return fine


def _kept(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield what must be kept between commands, and where it is."""
    yield "what Feast's files hold, its registry among them", settings.feast.repo / "data"
    yield "which views are applied", settings.feast.repo / "spaces"
    if settings.offline.enabled and isinstance(settings.offline.path, Path):
        yield "the offline log", settings.offline.path


def _parts(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    recipe_of = cache(partial(embed_recipe, settings))
    for path in settings.model.artifacts:
        yield "artifact", partial(_artifact, settings, path)
    yield "kafka", partial(_kafka, settings)
    for path in settings.model.artifacts if settings.kafka.content != "windows" else ():
        yield "content", partial(_content, settings, path)
    for path in settings.model.artifacts if settings.windows.known_topic else ():
        yield "known ahead", partial(_known, settings, path)
    yield "dead letters", lambda: describe_dead_letters(settings.kafka)
    if settings.kafka.format != "json":
        yield "format", lambda: check_format(settings.kafka)
    yield "group", partial(_group, settings)
    for path in settings.model.artifacts:
        yield "online store", partial(_online, settings, recipe_of, path)
    yield "offline log", partial(look_at_log, settings, recipe_of)
    if settings.fleet.address != "local":
        yield "nodes", partial(_nodes, settings)


def _artifact(settings: Settings, path: AnyPath) -> str:
    manifest = read_manifest(path)
    read_weights(path, manifest)
    require_allowed_code(manifest.model, settings.model.code)
    return f"{manifest.view().view}, {manifest.description}"


def _content(settings: Settings, path: AnyPath) -> str:
    manifest = read_manifest(path)
    return f"{manifest.view().view}: {describe_content(settings, manifest.contract)}"


def _known(settings: Settings, path: AnyPath) -> str:
    manifest = read_manifest(path)
    now = read_known_topic(settings, manifest.contract)
    view = manifest.view().view
    if now is not None and now.passed_over:  # a topic that is empty yet may be written before the stream begins
        now.require_rows()
    return f"{view}: {now.told}" if now is not None else f"{view} needs nothing of {settings.windows.known_topic}"


def _kafka(settings: Settings) -> str:
    try:
        require_broker(settings.kafka)
    except UndertowError as error:
        raise NoBrokerError(str(error)) from error
    topic = describe_topic(settings.kafka)
    require_topic_codec(settings.kafka)
    return f"topic {topic.name} with {counted(topic.partitions, 'partition')} at {settings.kafka.bootstrap}"


def _group(settings: Settings) -> str:
    paths = settings.model.artifacts
    # A single artifact is not read, so that the group is checked even if the artifact is missing.
    views = [read_manifest(path).view().view for path in paths] if len(paths) > 1 else [""]
    found = group_settings(settings.kafka, views)
    for kafka in found:
        refuse_live_group(kafka)
    with KafkaLease(settings.kafka) as lease:
        other = holder(read=lease.read)
    names = ", ".join(kafka.group for kafka in found)
    if other is None:
        return f"{names} {'are' if len(found) > 1 else 'is'} free"
    if other.fleet != settings.fleet.name:
        raise Refused(held_by(other))
    again = "is refused beside it" if settings.fleet.address == "local" else "attaches to it in its Ray"
    return (
        f"{names}: fleet {other.fleet!r} reads this topic under this group, {other.origin}; undertow run {again}, "
        "undertow drain ends it"
    )


def _nodes(settings: Settings) -> str:
    require_extras("looking at the nodes of a Ray", "fleet")
    # Imported here, since Ray takes half a second and is needed only for a cluster.
    from undertow.commands.check_nodes import NodeNeeds, look_on_nodes  # noqa: PLC0415
    from undertow.ray_session.session import ray_session  # noqa: PLC0415

    paths = [path.absolute() for path in settings.model.artifacts]
    root = settings.offline.path.absolute()
    nonce = read_nonce(root) if settings.offline.enabled else ""
    expected = NodeNeeds(
        artifacts=tuple((path, read_manifest(path).space) for path in paths),
        log=LogIdentity(root=root, nonce=nonce) if nonce else None,
    )
    with ray_session(settings.fleet, replicas=0):
        hosts = look_on_nodes(expected)
    seen = "the artifacts and the offline log" if nonce else "the artifacts (there is no offline log yet)"
    return f"{len(hosts)} at {settings.fleet.address}, each sees {seen}: {', '.join(hosts)}"


def _online(settings: Settings, recipe_of: Callable[[AnyPath], EmbedRecipe], path: AnyPath) -> str:
    recipe = recipe_of(path)
    check_online(recipe.online)
    said = f"{recipe.online.type}, view {recipe.online.view}"
    # If series expire (Feast's key_ttl_seconds), missing ones prove nothing.
    if settings.offline.enabled and not recipe.online.options.get("key_ttl_seconds"):
        view = recipe.manifest.view()
        said += f", {compare_online(settings.feast, view, view_folder(recipe.offline.path, view))}"
    return said


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _text(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _origin(key: str, given: tuple[str, ...]) -> str:
    """Name the source of a setting's value, in the order of precedence of `load`."""
    if any(_covers(override.partition("=")[0], key) for override in given):
        return "--set"
    variables = (name for name in os.environ if name.startswith("UNDERTOW_"))
    for name in variables:
        if _covers(name.removeprefix("UNDERTOW_").lower().replace("__", "."), key.lower()):
            return name
    if Path(TOML).exists() and any(found == key for found, _ in _flat(read_toml(Path(TOML)))):
        return TOML
    return "default"


def _covers(named: str, key: str) -> bool:
    return key == named or key.startswith(f"{named}.")

"""`undertow check`: the settings in force, where each came from, and whether what they name can be reached.

In: overrides from the command line. Out: a table and one line for each part. Changes nothing.
"""

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from workers.adapters.kafka_admin import describe_topic, refuse_live_group
from workers.artifact.manifest import read_manifest, read_weights
from workers.artifact.recipes import refuse_foreign_code
from workers.core.errors import Refused, UndertowError
from workers.core.masking import masked
from workers.formats import check_format
from workers.settings import TOML, Settings, load
from workers.wiring import check_online, embed_recipe


def check(overrides: Iterable[str], console: Console) -> bool:
    """Print everything; return whether all parts can be reached."""
    given = tuple(overrides)
    settings = load(given)
    # Nothing is cut off where the console is narrow.
    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("from", overflow="fold"))
    for key, value in _flat(settings.model_dump()):
        table.add_row(key, escape(str(masked(key, value))), _origin(key, given))
    console.print(table)
    fine = True
    for name, look in _parts(settings):
        try:
            console.print(f"[green]ok[/]      {name}: {escape(look())}", highlight=False, soft_wrap=True)
        except UndertowError as error:
            fine = False
            console.print(f"[red]failed[/]  {name}: ", end="", highlight=False)
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    return fine


def _parts(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    def artifact() -> str:
        manifest = read_manifest(settings.model.artifact)
        read_weights(settings.model.artifact, manifest)
        refuse_foreign_code(manifest.model, settings.model.code)
        return f"{manifest.view().view}, {manifest.description}"

    def kafka() -> str:
        topic = describe_topic(settings.kafka)
        return f"topic {topic.name} with {topic.partitions} partitions at {settings.kafka.bootstrap}"

    def group() -> str:
        refuse_live_group(settings.kafka)
        return f"{settings.kafka.group} is free"

    def online() -> str:
        recipe = embed_recipe(settings).online
        check_online(recipe)
        return f"{recipe.type}, view {recipe.view}"

    def offline() -> str:
        path = settings.offline.path
        existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
        if not os.access(existing, os.W_OK):
            message = f"offline.path = {path} cannot be written: {existing} belongs to somebody else"
            raise Refused(message)
        return str(path) if settings.offline.enabled else "off"

    yield "artifact", artifact
    yield "kafka", kafka
    if settings.kafka.format != "json":
        yield "format", lambda: check_format(settings.kafka)
    yield "group", group
    yield "online store", online
    yield "offline log", offline


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _origin(key: str, given: tuple[str, ...]) -> str:
    """Name the source that a key was read from; `load` has looked at them in this order."""
    if any(_covers(override.partition("=")[0], key) for override in given):
        return "--set"
    variables = (name for name in os.environ if name.startswith("UNDERTOW_"))
    for name in variables:
        if _covers(name.removeprefix("UNDERTOW_").lower().replace("__", "."), key.lower()):
            return name
    if Path(TOML).exists() and any(found == key for found, _ in _flat(tomllib.loads(Path(TOML).read_text()))):
        return TOML
    return "default"


def _covers(named: str, key: str) -> bool:
    return key == named or key.startswith(f"{named}.")

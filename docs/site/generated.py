"""All that is read off the code while the site is built, by the names that pages ask for it with.

In: nothing. Out: functions that return markdown. Knows no page. None of it imports torch, Ray or Feast.
"""

from collections.abc import Callable, Iterable, Mapping

import command_pages
import example_pages
import extras_table
import settings_tables
import wire_formats
from tables import code, table

import undertow
from undertow import testing
from undertow.fleet.metrics import DEFINITIONS

FROM_RAY = "ray_"
"""What Ray's agent puts before the names of metrics."""


def metrics() -> str:
    """Return every metric as Prometheus sees it."""
    rows = (
        (code(FROM_RAY + one.in_ray), one.kind, one.unit, ", ".join(map(code, one.labels)), one.meaning)
        for one in DEFINITIONS
    )
    return table(("Metric", "Kind", "Unit", "Labels", "What it counts"), rows)


def public_names() -> str:
    """Return what mkdocstrings takes for the package's public names: functions first."""
    return _directives("undertow", sorted(undertow.__all__, key=lambda name: (name[0].isupper(), name)))


def testing_names() -> str:
    """Return the same for what is offered to tests."""
    return _directives("undertow.testing", testing.__all__)


def _directives(package: str, names: Iterable[str]) -> str:
    return "\n\n".join(f"::: {package}.{name}" for name in names)


GENERATED: Mapping[str, Callable[[], str]] = {
    "command list": command_pages.command_list,
    "commands": command_pages.commands,
    "count of settings": settings_tables.count_of_settings,
    "settings": settings_tables.settings_tables,
    "core packages": extras_table.core_packages,
    "extras": extras_table.extras,
    "examples": example_pages.examples,
    "json schema": wire_formats.json_schema,
    "json sample": wire_formats.json_sample,
    "avro schema": wire_formats.avro_schema,
    "avro sample": wire_formats.avro_sample,
    "confluent sample": wire_formats.confluent_sample,
    "arrow schema": wire_formats.arrow_schema,
    "arrow sample": wire_formats.arrow_sample,
    "log schema": wire_formats.log_schema,
    "reasons": wire_formats.reasons,
    "metrics": metrics,
    "public names": public_names,
    "testing names": testing_names,
}

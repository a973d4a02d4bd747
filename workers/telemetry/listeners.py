"""The listeners to a stream's events: its log, and traces where they are enabled.

In: settings and the standard OTEL_* variables, read once on the driver. Out: in each replica, one function that
receives all events. Knows neither streams nor exporters.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from undertow.settings.settings import Settings
from undertow.stream.events import Event, Listener
from undertow.telemetry.event_log import EventLog
from undertow.telemetry.logs import LogRecipe, say

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerRecipe:
    """How a fleet logs and traces."""

    log: LogRecipe
    otel: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The OTEL_* variables, where they ask for traces. Not in our repr: they may hold an exporter's credentials."""


def listener_recipe(settings: Settings, environment: Mapping[str, str] = os.environ) -> ListenerRecipe:
    """Read what is asked for."""
    otel = {name: value for name, value in environment.items() if name.startswith("OTEL_")}
    return ListenerRecipe(
        log=LogRecipe(log_level=settings.log_level, log_format=settings.log_format),
        otel=otel if traces_are_asked_for(otel) else {},
    )


def traces_are_asked_for(otel: Mapping[str, str]) -> bool:
    """Tell whether the variables name an endpoint or an exporter, and nobody has said no."""
    if otel.get("OTEL_SDK_DISABLED", "").lower() == "true" or otel.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    names = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(otel.get(name) for name in names)


def open_listener(recipe: ListenerRecipe, *, fleet: str, replica: str) -> Listener:
    """Return the function that a replica's stream tells."""
    event_log = EventLog()
    if not recipe.otel:
        return event_log
    try:
        # An optional extra: without a wish for traces nothing of it is imported.
        from undertow.telemetry.tracing import open_tracing  # noqa: PLC0415

        tracing = open_tracing(recipe.otel, service=fleet, replica=replica)
    except ImportError as error:
        text = f"OTEL_* variables ask for traces, which need: pip install 'undertow[tracing]' ({error})"
        say(log, logging.WARNING, "no-traces", text)
        return event_log

    def tell(event: Event) -> None:
        event_log(event)
        tracing(event)

    return tell

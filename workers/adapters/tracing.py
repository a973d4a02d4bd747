"""OpenTelemetry: one span for each batch and one for each checkpoint, linked to the traces of their producers.

In: events, records' `traceparent` and `tracestate` headers. Out: spans, by whatever the OTEL_* variables name.
Knows nothing of how the stream works. Spans are made after the fact, from the times that an event carries: the loop
carries no context, and without tracing nothing here is imported by anybody.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schemas.records import Partition, Record
from workers.core.events import Checkpointed, Closed, Event, Span, Taken

MOST_LINKS = 128
FLUSH_MS = 2_000
HEADERS = frozenset({"traceparent", "tracestate"})
_W3C = TraceContextTextMapPropagator()


class Tracing:
    """A `Tell` that makes spans."""

    def __init__(self, provider: Any, replica: str) -> None:
        """Spans go to `provider`, which is the SDK's."""
        self._provider, self._tracer, self._replica = provider, provider.get_tracer("undertow"), replica

    def __call__(self, event: Event) -> None:
        """Make the spans of an event that has any."""
        match event:
            case Taken(records=records) if records:
                self._batch(event)
            case Checkpointed():
                ranges = {str(p): f"{first}-{after - 1}" for p, (first, after) in sorted(event.ranges.items())}
                told = {"undertow.rows": event.rows, **self._places(next(iter(event.ranges)).topic, ranges)}
                self._span("undertow checkpoint", event.took, told, SpanKind.INTERNAL)
            case Closed():
                self._provider.force_flush(FLUSH_MS)  # what comes next may be the end of the process
            case _:
                pass

    def _batch(self, event: Taken) -> None:
        took = min(began for began, _ in event.stages.values()), max(ended for _, ended in event.stages.values())
        topic, ranges = event.records[0].partition.topic, ranges_of(event.records)
        told = {
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.batch.message_count": len(event.records),
            "undertow.windows": event.windows,
            "undertow.space": event.space,
            **self._places(topic, {str(p): f"{first}-{last}" for p, (first, last) in sorted(ranges.items())}),
        }
        inside = self._span(f"process {topic}", took, told, SpanKind.CONSUMER, links_to(event.records))
        for stage, times in event.stages.items():
            self._span(f"undertow {stage}", times, {}, SpanKind.INTERNAL, within=inside)

    def _places(self, topic: str, ranges: Mapping[str, str]) -> dict[str, Any]:
        return {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.client.id": self._replica,
            "undertow.replica": self._replica,
            "undertow.offsets": [f"{partition}@{offsets}" for partition, offsets in ranges.items()],
        }

    def _span(
        self,
        name: str,
        took: Span,
        told: Mapping[str, Any],
        kind: SpanKind,
        links: Sequence[Link] = (),
        within: Context | None = None,
    ) -> Context:
        """Make one, ended as it began long ago; return the context of what happened within it."""
        began, ended = (int(at * 1e9) for at in took)
        # An empty context: a batch has many producers, so it is linked to all of them and the child of none.
        span = self._tracer.start_span(
            name, within or Context(), kind=kind, attributes=dict(told), links=links, start_time=began
        )
        span.end(ended)
        return set_span_in_context(span, Context())


def ranges_of(records: Sequence[Record]) -> dict[Partition, tuple[int, int]]:
    """Return the first and the last offset of each partition, of records in the order of their offsets."""
    ranges: dict[Partition, tuple[int, int]] = {}
    for record in records:
        first, _ = ranges.get(record.partition, (record.offset, record.offset))
        ranges[record.partition] = (first, record.offset)
    return ranges


def links_to(records: Sequence[Record]) -> list[Link]:
    """Return a link to the trace of each record that has one, of at most so many."""
    links: list[Link] = []
    for record in records:
        if len(links) == MOST_LINKS:
            break
        carrier = {name: value.decode("ascii", "replace") for name, value in record.headers if name in HEADERS}
        if "traceparent" not in carrier:
            continue
        context = get_current_span(_W3C.extract(carrier, Context())).get_span_context()
        if context.is_valid:
            place: dict[str, Any] = {"undertow.offset": f"{record.partition}@{record.offset}"}
            links.append(Link(context, place))
    return links


def open_tracing(environment: Mapping[str, str], *, service: str, replica: str) -> Tracing:
    """Start the SDK in this process, by these OTEL_* variables. Raises `ImportError` without `undertow[tracing]`."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 an optional extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter  # noqa: PLC0415 likewise

    for name, value in environment.items():
        os.environ.setdefault(name, value)  # the SDK reads its sampler, limits and headers from there
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", service)
    if environment.get("OTEL_TRACES_EXPORTER") == "console":
        exporter: Any = ConsoleSpanExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 likewise

        exporter = OTLPSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, replica)

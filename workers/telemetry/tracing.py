"""OpenTelemetry: one span for each batch and one for each checkpoint, linked to the traces of their producers.

In: events, records' `traceparent` and `tracestate` headers. Out: spans, by whatever the OTEL_* variables name.
Knows nothing of how the stream works. Spans are made after the fact, from the times that an event carries: the loop
carries no context, and without tracing nothing here is imported by anybody.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanContext, SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from undertow.schemas.records import Headers, Partition, Record
from undertow.stream.events import Checkpointed, Closed, Event, Taken, TimeSpan

MOST_LINKS = 128
FLUSH_S = 2.0


class Tracing:
    """A `Listener` that makes spans."""

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
                self._flush()  # what comes next may be the end of the process
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
        batch = self._span(f"process {topic}", took, told, SpanKind.CONSUMER, event.records)
        if batch.get_span_context().trace_flags.sampled:
            inside = set_span_in_context(batch, Context())
            for stage, times in event.stages.items():
                self._span(f"undertow {stage}", times, {}, SpanKind.INTERNAL, within=inside)

    def _flush(self) -> None:
        """Send what waits, and go on after so long: a collector that does not answer must not hold up who takes over.

        The SDK takes a time limit and ignores it (open-telemetry/opentelemetry-python#4568): each of its requests may
        take ten seconds.
        """
        flush = threading.Thread(target=self._provider.force_flush, name="flush spans", daemon=True)
        flush.start()
        flush.join(FLUSH_S)

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
        took: TimeSpan,
        told: Mapping[str, Any],
        kind: SpanKind,
        linked_to: Sequence[Record] = (),
        within: Context | None = None,
    ) -> OtelSpan:
        """Make one, begun and ended at times that are past."""
        began, ended = (int(at * 1e9) for at in took)
        # An empty context: a batch has many producers, so it is linked to all of them and the child of none.
        span: OtelSpan = self._tracer.start_span(
            name, within or Context(), kind=kind, attributes=dict(told), start_time=began
        )
        if span.is_recording():  # what is not sampled reads no header
            for context in links_to(linked_to):
                span.add_link(context)
        span.end(ended)
        return span


def ranges_of(records: Sequence[Record]) -> dict[Partition, tuple[int, int]]:
    """Return the first and the last offset of each partition, of records in the order of their offsets."""
    ranges: dict[Partition, tuple[int, int]] = {}
    for record in records:
        first, _ = ranges.get(record.partition, (record.offset, record.offset))
        ranges[record.partition] = (first, record.offset)
    return ranges


class _RecordHeaders(Getter[Headers]):
    """How the propagator reads a record's headers, which may repeat a name."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return [value.decode("ascii", "replace") for name, value in carrier if name == key] or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name for name, _ in carrier]


_PROPAGATOR, _GETTER = TraceContextTextMapPropagator(), _RecordHeaders()


def links_to(records: Sequence[Record]) -> Iterator[SpanContext]:
    """Yield the context of each record that has one, at most so many."""
    told = (record.headers for record in records if record.headers)
    spans = (get_current_span(_PROPAGATOR.extract(headers, Context(), _GETTER)) for headers in told)
    contexts = (span.get_span_context() for span in spans)
    return islice((context for context in contexts if context.is_valid), MOST_LINKS)


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

"""Spans by the real SDK, in memory or over HTTP: what each is linked to, how they nest, and what none of it costs."""

import subprocess
import sys
import threading
from gzip import decompress as gunzip
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from undertow.schemas.records import Partition, Record
from undertow.settings.settings import Settings
from undertow.stream.events import Checkpointed, Closed, Retrying, Taken
from undertow.telemetry.event_log import EventLog
from undertow.telemetry.listeners import ListenerRecipe, listener_recipe, open_listener, traces_are_asked_for
from undertow.telemetry.logs import LogRecipe
from undertow.telemetry.tracing import MOST_LINKS, Tracing

ZERO, ONE = Partition("windows", 0), Partition("windows", 1)
STAGES = {"poll": (10.0, 10.5), "embed": (10.5, 11.0), "write": (11.25, 11.5)}


def record(number, partition=ZERO, headers=None):
    parent = f"00-{number + 1:032x}-00f067aa0ba902b7-01".encode()
    ours = (("traceparent", parent), ("tracestate", b"vendor=1")) if headers is None else headers
    return Record(partition=partition, offset=number, appended_us=5, value=b"{}", headers=ours)


def taken(*records):
    return Taken(records=records, windows=len(records), space="ab" * 32, stages=STAGES)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider, "replica-1")


def test_a_batch_is_one_span_linked_to_the_trace_of_every_record(tracing, exporter):
    tracing(taken(record(3), record(4), record(9, ONE), record(10, ONE, headers=(("h", b"1"),))))
    *_, batch = sorted(exporter.get_finished_spans(), key=lambda span: span.parent is None)
    assert (batch.name, batch.kind.name, batch.parent) == ("process windows", "CONSUMER", None)
    assert [link.context.trace_id for link in batch.links] == [4, 5, 10]
    assert batch.links[0].context.trace_state.get("vendor") == "1"
    assert (batch.start_time, batch.end_time) == (10_000_000_000, 11_500_000_000)
    told = dict(batch.attributes)
    assert told["messaging.system"] == "kafka"
    assert told["messaging.destination.name"] == "windows"
    assert told["messaging.batch.message_count"] == 4
    assert told["undertow.offsets"] == ("windows-0@3-4", "windows-1@9-10")
    assert (told["undertow.replica"], told["undertow.space"]) == ("replica-1", "ab" * 32)


def test_its_stages_are_spans_inside_it_with_their_own_times(tracing, exporter):
    tracing(taken(record(3)))
    batch, *stages = sorted(exporter.get_finished_spans(), key=lambda span: span.parent is not None)
    assert [span.name for span in stages] == ["undertow poll", "undertow embed", "undertow write"]
    assert {span.parent.span_id for span in stages} == {batch.context.span_id}
    assert [(span.start_time, span.end_time) for span in stages] == [
        tuple(int(1e9 * at) for at in times) for times in STAGES.values()
    ]


def test_a_span_has_no_more_links_than_the_sdk_keeps(tracing, exporter):
    tracing(taken(*(record(n) for n in range(3 * MOST_LINKS))))
    (batch,) = [span for span in exporter.get_finished_spans() if span.parent is None]
    assert len(batch.links) == MOST_LINKS
    assert batch.dropped_links == 0


@pytest.mark.parametrize("value", [b"", b"00-zz-00-01", b"\xff\x00", b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01"])
def test_a_header_that_is_no_traceparent_links_nothing_and_breaks_nothing(tracing, exporter, value):
    tracing(taken(record(3, headers=(("traceparent", value),))))
    assert all(not span.links for span in exporter.get_finished_spans())
    assert len(exporter.get_finished_spans()) == 4


def test_a_checkpoint_is_a_span_of_its_own_with_the_ranges_of_its_parts(tracing, exporter):
    tracing(Checkpointed(ranges={ONE: (5, 9), ZERO: (3, 4)}, rows=5, took=(20.0, 20.25)))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.start_time, span.end_time) == ("undertow checkpoint", 20_000_000_000, 20_250_000_000)
    assert span.attributes["undertow.offsets"] == ("windows-0@3-3", "windows-1@5-8")
    assert span.attributes["undertow.rows"] == 5


def test_what_was_not_sampled_is_not_exported(exporter):
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Tracing(provider, "replica-1")(taken(record(3)))
    assert exporter.get_finished_spans() == ()


def test_other_events_are_no_spans_and_the_end_sends_what_waits(exporter):
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    tracing = Tracing(provider, "replica-1")
    tracing(Retrying(error="redis is away"))
    tracing(taken(record(3)))
    assert exporter.get_finished_spans() == ()
    tracing(Closed())
    assert len(exporter.get_finished_spans()) == 4
    provider.shutdown()


class Stuck(SpanExporter):
    """A collector that takes a request and does not answer for as long as the test likes."""

    def __init__(self):
        self.asked, self.answers = threading.Event(), threading.Event()

    def export(self, _spans):
        self.asked.set()
        self.answers.wait()
        return SpanExportResult.FAILURE


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end():
    stuck, provider = Stuck(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(stuck, schedule_delay_millis=3_600_000))
    tracing = Tracing(provider, "replica-1")
    tracing(taken(record(3)))
    tracing(Closed())
    assert stuck.asked.is_set()
    stuck.answers.set()
    provider.shutdown()


class Collector(BaseHTTPRequestHandler):
    server: "Collecting"
    """Takes what OTLP over HTTP sends, in its binary form."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.took.append((self.path, ExportTraceServiceRequest.FromString(gunzip(body) if packed else body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


class Collecting(ThreadingHTTPServer):
    took: list[tuple[str, ExportTraceServiceRequest]]


@pytest.fixture
def collector():
    with Collecting(("127.0.0.1", 0), Collector) as server:
        server.took = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_collector_gets_the_spans_over_http_from_the_fleet_by_its_name(collector, compression):
    program = (
        "import os, sys\n"
        "from undertow.schemas.records import Partition, Record\n"
        "from undertow.telemetry.tracing import open_tracing\n"
        "from undertow.stream.events import Closed, Taken\n"
        "otel = {'OTEL_EXPORTER_OTLP_ENDPOINT': sys.argv[1], 'OTEL_EXPORTER_OTLP_COMPRESSION': sys.argv[2]}\n"
        "tracing = open_tracing(otel, service='pumps-fleet', replica='r')\n"
        "headers = (('traceparent', b'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),)\n"
        "place = Partition('windows', 0)\n"
        "record = Record(partition=place, offset=0, appended_us=0, value=None, headers=headers)\n"
        "tracing(Taken(records=[record], windows=1, space='0', stages={'poll': (1.0, 2.0)}))\n"
        "tracing(Closed())\n"
        "os._exit(0)\n"  # as a replica ends: nothing is sent later
    )
    address = f"http://127.0.0.1:{collector.server_port}"
    subprocess.run([sys.executable, "-c", program, address, compression], check=True)
    ((path, request),) = collector.took
    assert path == "/v1/traces"
    (of_service,) = request.resource_spans
    names = {one.key: one.value.string_value for one in of_service.resource.attributes}
    assert names["service.name"] == "pumps-fleet"
    poll, batch = sorted((one for scope in of_service.scope_spans for one in scope.spans), key=lambda one: one.kind)
    assert (batch.name, poll.name) == ("process windows", "undertow poll")
    assert poll.parent_span_id == batch.span_id
    assert [link.trace_id.hex() for link in batch.links] == ["4bf92f3577b34da6a3ce929d0e0e4736"]
    assert (batch.start_time_unix_nano, batch.end_time_unix_nano) == (1_000_000_000, 2_000_000_000)


# Whether at all ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_say_whether_there_are_traces(variables, asked):
    assert traces_are_asked_for(variables) == asked
    assert bool(listener_recipe(Settings(), {"HOME": "/", **variables}).otel) == asked


def test_an_exporters_credentials_are_not_shown():
    variables = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=hunter2"}
    assert "hunter2" not in repr(listener_recipe(Settings(), variables))


def test_without_a_wish_there_is_a_journal_only_and_no_exporter_is_imported():
    program = (
        "import sys, undertow.wiring.root\n"
        "from undertow.telemetry.listeners import *\n"
        "from undertow.telemetry.logs import LogRecipe\n"
        "tell = open_listener(ListenerRecipe(log=LogRecipe()), fleet='f', replica='r')\n"
        "print(type(tell).__name__, *(name in sys.modules for name in "
        "('undertow.telemetry.tracing', 'opentelemetry.exporter')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["EventLog", "False", "False"]


def test_a_wish_without_the_package_is_a_warning_and_no_end(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    recipe = ListenerRecipe(log=LogRecipe(), otel={"OTEL_TRACES_EXPORTER": "console"})
    assert isinstance(open_listener(recipe, fleet="f", replica="replica-1"), EventLog)
    assert "pip install 'undertow[tracing]'" in caplog.text


def test_the_fleet_is_the_service_where_the_variables_name_none():
    program = (
        "from undertow.schemas.records import Partition, Record\n"
        "from undertow.telemetry.tracing import open_tracing\n"
        "from undertow.stream.events import Closed, Taken\n"
        "tracing = open_tracing({'OTEL_TRACES_EXPORTER': 'console'}, service='pumps-fleet', replica='r')\n"
        "record = Record(partition=Partition('windows', 0), offset=0, appended_us=0, value=None)\n"
        "tracing(Taken(records=[record], windows=1, space='0', stages={'poll': (1.0, 2.0)}))\n"
        "tracing(Closed())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert '"service.name": "pumps-fleet"' in done.stdout
    assert "process windows" in done.stdout

"""The registry's client against a registry of these tests: schemas are asked for once, and silence is no verdict."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from undertow.adapters.schema_registry import FORGET_S, SchemaRegistry
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.avro_schemas import AvroSchema, window_schema_text
from undertow.settings.sections import KafkaSettings
from undertow.wiring.formats import check_format


class Registry:
    """Answers as the real one does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict] = {7: {"schema": window_schema_text()}}
        self.asked: list[str] = []
        self.status = 200
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/subjects"):
                    self.answer(200, ["readings-value", "other-value"])
                    return
                found = registry.schemas.get(int(self.path.split("?")[0].rsplit("/", 1)[1]))
                self.answer(200 if found else 404, found or {"error_code": 40403, "message": "Schema not found"})

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                registry.schemas[9] = {"schema": sent["schema"]}
                self.answer(200, {"id": 9})

            def answer(self, status: int, body: dict | list) -> None:
                registry.asked.append(self.path.split("?")[0])
                if registry.status != 200:
                    status, body = registry.status, {"error_code": registry.status, "message": "not now"}
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def registry():
    held = Registry()
    thread = threading.Thread(target=held.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield held
    held.server.shutdown()
    held.server.server_close()
    thread.join()


def client(registry: Registry, clock=lambda: 0.0) -> SchemaRegistry:
    return SchemaRegistry(KafkaSettings(topic="readings", registry=registry.url, format="avro-confluent"), clock)


def test_a_schema_is_asked_for_once(registry):
    schemas = client(registry)
    assert isinstance(schemas.schema_of(7), AvroSchema)
    assert schemas.schema_of(7) is schemas.schema_of(7)
    assert registry.asked == ["/schemas/ids/7"]


def test_an_unknown_schema_is_a_verdict_that_is_asked_for_again_only_after_a_while(registry):
    now = [0.0]
    schemas = client(registry, lambda: now[0])
    assert "has no such schema" in schemas.schema_of(8)
    assert "has no such schema" in schemas.schema_of(8)
    assert registry.asked == ["/schemas/ids/8"]
    registry.schemas[8] = registry.schemas[7]
    now[0] = FORGET_S
    assert isinstance(schemas.schema_of(8), AvroSchema)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"schema": '"long"'}, "of a record"),
        ({"schema": "{}", "schemaType": "JSON"}, "found JSON"),
        ({"schema": window_schema_text(), "references": [{"name": "a", "subject": "b", "version": 1}]}, "references"),
    ],
)
def test_a_schema_that_windows_cannot_be_read_by_is_a_verdict(registry, held, words):
    registry.schemas[7] = held
    assert words in client(registry).schema_of(7)


@pytest.mark.parametrize(("status", "error"), [(500, Unavailable), (429, Unavailable), (401, Refused)])
def test_a_registry_that_gives_no_verdict_is_asked_again_or_refuses_us(registry, status, error):
    schemas = client(registry)
    registry.status = status
    with pytest.raises(error, match=r"kafka\.registry"):
        schemas.schema_of(7)
    with pytest.raises(error):
        schemas.register(window_schema_text())
    registry.status = 200
    assert isinstance(schemas.schema_of(7), AvroSchema)


def test_a_registry_that_is_not_there_is_unavailable():
    schemas = SchemaRegistry(KafkaSettings(registry="http://127.0.0.1:9", format="avro-confluent"))
    with pytest.raises(Unavailable, match="did not answer"):
        schemas.schema_of(7)


def test_our_schema_is_registered_for_the_topic_and_can_be_read_back(registry):
    schemas = client(registry)
    assert schemas.register(window_schema_text()) == 9
    assert registry.asked == ["/subjects/readings-value/versions"]
    assert isinstance(schemas.schema_of(9), AvroSchema)


def test_a_client_that_cannot_be_made_is_refused():
    with pytest.raises(Refused, match=r"kafka\.registry_extra"):
        SchemaRegistry(KafkaSettings(registry="ftp://registry", format="avro-confluent"))


def test_a_check_asks_the_registry_whether_it_answers(registry):
    settings = KafkaSettings(registry=registry.url, format="avro-confluent")
    assert check_format(settings) == "avro-confluent, registry with 2 subjects"
    registry.status = 503
    with pytest.raises(Unavailable, match="503"):
        check_format(settings)
    assert check_format(KafkaSettings(format="arrow")) == "arrow"

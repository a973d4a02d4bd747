"""Stores without a server: obstore's in memory, and a server that breaks the promise of conditional puts."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from undertow.storage import store_path
from undertow.storage.store_client import StoreOptions
from undertow.storage.store_path import StorePath

MEMORY = pytest.param("memory", id="memory")
S3 = pytest.param("s3", id="s3", marks=pytest.mark.s3)


@pytest.fixture(params=[MEMORY, S3])
def root(request, monkeypatch) -> StorePath:
    """An empty prefix, in memory and on a real S3."""
    if request.param == "s3":
        return request.getfixturevalue("store_root")
    from obstore.store import MemoryStore  # noqa: PLC0415 the extra `store`

    kept = MemoryStore()
    monkeypatch.setattr(store_path, "open_client", lambda _bucket, _options: kept)
    return StorePath.parse("s3://bucket/some/prefix")


class Careless(BaseHTTPRequestHandler):
    """A server that creates whatever it is asked to, also what is there: it overlooks If-None-Match."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self._answer(404 if found is None else 200, found or b"")

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self._answer(204)

    def do_POST(self) -> None:  # S3's DeleteObjects
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        (key,) = re.findall(rb"<Key>(.*?)</Key>", asked)
        self._answer(200, b"<DeleteResult><Deleted><Key>" + key + b"</Key></Deleted></DeleteResult>")

    def _answer(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def careless_root() -> Iterator[StorePath]:
    """A prefix on such a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Careless,), {"objects": {}}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    options = StoreOptions(endpoint=endpoint, region="us-east-1", access_key_id="me", secret_access_key="hush-hush")
    yield StorePath.parse("s3://bucket/log", options)
    server.shutdown()
    thread.join()
    server.server_close()

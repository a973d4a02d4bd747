"""TLS before a server that has none: the redis-server of the wheel is built without."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

from tests.security.certificates import Authority, Pair
from undertow.devstack.processes import LOCALHOST


@contextlib.contextmanager
def tls_before(port: int, pair: Pair, *, clients: Authority | None = None) -> Iterator[int]:
    """Yield a port that takes TLS and hands everything on; with `clients`, only from those whom they have signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.file)
    listener = socket.create_server((LOCALHOST, 0))

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                arrived, _ = listener.accept()
                threading.Thread(target=serve, args=(arrived,), daemon=True).start()

    def serve(arrived: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((LOCALHOST, port)) as plain,
            context.wrap_socket(arrived, server_side=True) as secure,
        ):
            threading.Thread(target=copy, args=(plain, secure), daemon=True).start()
            copy(secure, plain)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()

"""A TCP line to a server, on which a test says what becomes of each request: carried, its reply lost, or refused.

In: a port, a fate for each request. Out: a port of its own. Knows of HTTP only that requests and replies alternate.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Literal

from undertow.devstack.processes import LOCALHOST

Fate = Literal["pass", "lose", "busy"]
"""`lose` lets the server act and drops its reply; `busy` answers 503 in its place."""
PIECE = 1 << 20
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Line:
    """Carries connections until it is closed."""

    def __init__(self, port: int, fate: Callable[[], Fate]) -> None:
        self._port, self._fate = port, fate
        self._listener = socket.create_server((LOCALHOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="line", daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), name="line-near", daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection((LOCALHOST, self._port)) as far:
            talk = _Talk(near, far, self._fate)
            threading.Thread(target=talk.carry_replies, name="line-far", daemon=True).start()
            talk.carry_requests()


class _Talk:
    """One connection, both ways."""

    def __init__(self, near: socket.socket, far: socket.socket, fate: Callable[[], Fate]) -> None:
        self._near, self._far, self._draw = near, far, fate
        self._fate: Fate = "pass"
        self._is_asked = False

    def carry_requests(self) -> None:
        while piece := self._near.recv(PIECE):
            if not self._is_asked:
                self._fate, self._is_asked = self._draw(), True
            if self._fate == "busy":
                self._near.sendall(BUSY)
                break
            self._far.sendall(piece)
        self._end()

    def carry_replies(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._far.recv(PIECE):
                if self._fate == "lose":
                    break
                self._is_asked = False
                self._near.sendall(piece)
        self._end()

    def _end(self) -> None:
        for side in (self._near, self._far):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

"""Validate addresses of brokers, names of topics and names of fleets.

In: the value of a setting. Out: the same, or `ValueError` with what is expected. Knows no client.
"""

import ipaddress
import re
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
LARGEST_PORT = 65_535
LONGEST_NAME = 200
"""The most bytes of a fleet's name, which becomes part of a file name (at most 255 bytes) with a suffix."""


def require_servers(text: str) -> str:
    """Validate `host:port,host:port`. The port defaults to 9092; IPv6 addresses are in brackets."""
    for number, server in enumerate(text.split(","), start=1):
        host, port = split_server(server.strip())
        if not _is_host(host) or (port is not None and not _is_port(port)):
            message = f"expected host:port, several separated by commas; number {number} is none: {server!r}"
            raise ValueError(message)
    return text


def require_topic(name: str) -> str:
    """Validate the name of a topic; an empty one stands for the default."""
    if name and (not _TOPIC.fullmatch(name) or name in {".", ".."}):
        message = f"Kafka takes letters (a-z), digits, . _ and - in the name of a topic, 249 at most; found {name!r}"
        raise ValueError(message)
    return name


def require_fleet(name: str) -> str:
    """Validate a fleet's name, which must be usable as a file name."""
    if not name.isprintable() or name in {".", ".."} or len(quote(name, safe="")) > LONGEST_NAME:
        message = f"expected a name of at most {LONGEST_NAME} printable letters (others count thrice); found {name!r}"
        raise ValueError(message if len(name) <= LONGEST_NAME else message.partition(";")[0])
    return name


def split_server(server: str) -> tuple[str, str | None]:
    """Return host and port as written; the port is None if there is none."""
    if server.startswith("["):
        host, closed, rest = server[1:].partition("]")
        return host if closed else "", rest[1:] if rest.startswith(":") else (rest or None)
    if server.count(":") > 1:  # IPv6 without brackets has no port
        return server, None
    host, colon, port = server.partition(":")
    return host, port if colon else None


def _is_host(text: str) -> bool:
    if _HOST.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) <= LARGEST_PORT


BootstrapServers = Annotated[str, AfterValidator(require_servers)]
Topic = Annotated[str, AfterValidator(require_topic)]
FleetName = Annotated[str, AfterValidator(require_fleet)]

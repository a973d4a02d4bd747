"""Parse Redis connection strings: `host:port,option=value,...` as in Feast, or a URL as in other tools.

In: a text with secrets. Out: servers and redis-py's options, or `Refused`. Knows no client. Messages repeat nothing of
the text except for an address that was parsed with certainty: in a misread text any part may belong to a password.
"""

import difflib
import inspect
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.cluster import RedisCluster

from undertow.core.errors import Refused
from undertow.core.masking import is_secret

SETTING = "UNDERTOW_REDIS, or online_store.connection_string of the Feast config"
_FORMS = "expected host:port,option=value,... or redis://user:password@host:port/db (rediss:// with TLS)"
_PORT = 6379
_SCHEMES = {"redis": False, "rediss": True}
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_PLAIN = re.compile(r"[A-Za-z0-9_./-]")
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_WORDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}

WAITS: Mapping[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 5, "retry": None}
"""Timeouts of a command, in seconds, for a Redis that accepts connections but does not answer: redis-py's default has
no limit, and retries. 5 s is a choice, far above a healthy answer."""

RedisAddresses = list[tuple[str, int]]


def is_url(text: str) -> bool:
    """Whether the text is meant as a URL, whatever is wrong with it."""
    return "://" in text.partition(",")[0]


def read_connection(text: str) -> tuple[RedisAddresses, dict[str, Any]]:
    """Return the servers and redis-py's options. Raises `Refused` for a text in neither form, or an unknown option."""
    servers, options = _parse_url(text) if is_url(text) else parse_connection(text)
    kinds = _kinds()
    for place, (name, value) in enumerate(options.items(), start=1):
        if name not in kinds:
            _refuse(f"option {place} has a name that redis-py does not know{_closest(name, kinds)}")
        _require(name, value, kinds[name])
    return servers, options


def in_feasts_words(text: str) -> str:
    """Return the text in Feast's form; characters that YAML or commas would break become JSON escapes."""
    if not is_url(text):
        return text
    servers, options = read_connection(text)
    words = (f"{name}={_escaped(value)}" for name, value in options.items())
    return ",".join([*(f"{host}:{port}" for host, port in servers), *words])


def bounded(words: str) -> str:
    """Add `WAITS` to a text in Feast's form, if it sets no timeouts."""
    _, options = parse_connection(words)
    return ",".join([words, *(f"{name}={json.dumps(value)}" for name, value in WAITS.items() if name not in options)])


def secrets_of(text: str) -> Iterator[str]:
    """Yield the secrets in a text, as written and as parsed."""
    for piece in re.split(r"[,&?]", text):
        name, _, value = piece.partition("=")
        if value and is_secret(name):
            yield value
    yield from _login(text)[1:]
    _, options = read_connection(text)
    yield from (str(value) for name, value in options.items() if value and is_secret(name))


def address(servers: RedisAddresses) -> str:
    """Return the part of a connection that messages may show."""
    return ",".join(f"{host}:{port}" for host, port in servers)


def parse_connection(text: str) -> tuple[RedisAddresses, dict[str, Any]]:
    """Read "host:port,host:port,db=0,ssl=true,password=..." as Feast does: values are JSON where they parse as JSON."""
    servers: RedisAddresses = []
    options: dict[str, Any] = {}
    for number, item in enumerate(text.split(","), start=1):
        name, is_option, value = item.partition("=")
        if is_option:
            options[name] = _value(value)
            continue
        host, _, port = item.rpartition(":")
        if not _is_host(host) or not port.isdecimal() or options:
            _refuse(
                f"part {number} between the commas is none of these, and servers stand before options; a password with "
                'a comma is written in a URL as %2C, here as "\\u002c" within double quotes'
            )
        servers.append((host, int(port)))
    if not servers:
        _refuse("it names no server")
    return servers, options


def _parse_url(text: str) -> tuple[RedisAddresses, dict[str, Any]]:
    hint = "; in a password write % / ? # @ , and spaces as %25 %2F %3F %23 %40 %2C %20"
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port or _PORT
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        _refuse(f"it is no such URL{hint}")
    db = parts.path.strip("/")
    if parts.scheme not in _SCHEMES or not _is_host(host) or parts.fragment or not (db.isdecimal() or not db):
        _refuse(f"it is no such URL{hint}")
    options: dict[str, Any] = {name: _value(value) for name, value in query}
    if db:
        options["db"] = int(db)
    if _SCHEMES[parts.scheme]:
        options["ssl"] = True
    options |= {name: unquote(value) for name, value in (("username", parts.username), ("password", parts.password))
                if value}  # fmt: skip
    return [(host, port)], options


def _login(text: str) -> list[str]:
    """Return user and password of a URL as written."""
    before, found, _ = text.partition("://")[2].rpartition("@")
    user, _, password = before.partition(":")
    return [user, password] if found else []


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text


def _escaped(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    units = value.encode("utf-16-be", "surrogatepass")
    letters = (units[at : at + 2].decode("utf-16-be", "surrogatepass") for at in range(0, len(units), 2))
    return '"' + "".join(one if _PLAIN.match(one) else f"\\u{ord(one):04x}" for one in letters) + '"'


def _is_host(text: str) -> bool:
    if _HOST.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


@cache
def _kinds() -> dict[str, tuple[type, ...]]:
    """Return the types of redis-py's options that can be set by a text."""
    found: dict[str, tuple[type, ...]] = {}
    for taker in (RedisCluster, redis.Redis):
        for name, parameter in inspect.signature(taker).parameters.items():
            types = (parameter.annotation, *get_args(parameter.annotation))
            if kinds := tuple(kind for kind in (*_WORDS, type(None)) if kind in types):
                found[name] = kinds
    return {name: kinds for name, kinds in found.items() if name not in {"host", "port", "url", "unix_socket_path"}}


def _require(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    takes = {*kinds, *({int} if float in kinds or str in kinds else ())}  # redis-py sends a number as its digits
    if type(value) not in takes:
        quotes = " (in double quotes where it reads as something else)" if str in kinds else ""
        words = next((_WORDS[kind] for kind in kinds if kind in _WORDS), "nothing that a text can say")
        _refuse(f"{name}= takes {words}{quotes}, and has something else")
    if name in _FILES and value and not Path(value).exists():
        _refuse(f"the file that {name}= names is not there")


def _closest(name: str, kinds: Mapping[str, object]) -> str:
    found = difflib.get_close_matches(name.strip().lower(), kinds, n=1)
    return f"; did you mean {found[0]}= (no spaces, small letters)?" if found else ""


def _refuse(found: str) -> NoReturn:
    message = f"{SETTING}: {_FORMS}; found that {found}"
    raise Refused(message) from None  # the cause may show the text

"""Translate redis-py's errors: whether a retry can help, and which setting is concerned.

In: errors, a connection's options. Out: `Refused` or `Unavailable`. Knows no keys.
"""

import re
import socket
import ssl
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import redis

from undertow.adapters.redis_address import SETTING, RedisAddresses, address, read_connection, secrets_of
from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.core.masking import without
from undertow.settings.tls_files import require_authorities, require_pair, speaks_tls

AWAY = "does not take writes"

LOOK_S = 1.0
"""How long to wait for a port's answer when finding out whether it speaks TLS. A choice."""

PASSING_WORDS = re.compile(r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN)\b")
"""Error codes of states that end by themselves or by an operator. In a script's error, the code is inside the text."""
PASSING = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ClusterError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.RedisClusterException,  # no node of the cluster answers
    redis.exceptions.TryAgainError,
)
LOGIN = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
LASTING: tuple[tuple[str, str], ...] = (
    ("Cluster mode is not enabled", "online_store.redis_type says redis_cluster, and it is none"),
    ("`SENTINEL`", "online_store.redis_type says redis_sentinel, and it is none"),
    ("DB index is out of range", "db= there has a smaller number, or the server more databases"),
    ("protocol must be", "protocol= there is 2 or 3"),
    ("No cipher can be selected", "ssl_ciphers= there names none that OpenSSL knows"),
)
"""Texts of permanent errors that redis-py reports as temporary, and what to change."""


@contextmanager
def translated(options: Mapping[str, Any], doing: str, *, away: str = AWAY) -> Iterator[None]:
    """Translate redis-py's errors. `options` are Feast's `online_store`; `doing` names the action in messages.

    `away` is what a server does that cannot be asked now.
    """
    text = connection_of(options)
    try:
        yield
    except (redis.RedisError, redis.exceptions.RedisClusterException, OSError) as error:
        servers, _ = read_connection(text)
        said = without(str(error), secrets_of(text))
        # redis-py's errors about a login show the password.
        cause = None if isinstance(error, LOGIN) else error
        where = f"Redis at {address(servers)} ({SETTING})"
        if isinstance(error, redis.exceptions.AskError):
            if options.get("redis_type") == "redis_cluster":
                message = f"{where} {away} now: keys are moving from node to node: {said}"
                raise Unavailable(message) from cause
            message = (
                f"{where} is a node of a cluster: online_store in Feast's YAML has to say redis_type: redis_cluster"
            )
            raise Refused(message) from cause
        raise translate_error(error, said, where, doing, away=away) from cause


def translate_error(error: Exception, said: str, where: str, doing: str, *, away: str = AWAY) -> UndertowError:
    """Return our error for one of redis-py; `said` is its text without secrets."""
    if isinstance(error, LOGIN):
        return Refused(f"{where} refuses the login: {said}. See username= and password= there.")
    reason = textwrap.shorten(said, 200)  # redis-py shows whole clients in some
    if _is_untrusted(error):
        return Refused(f"{where}: its certificate is not trusted: {reason} (ssl_ca_certs= names the authorities)")
    for words, remedy in LASTING:
        if words in said:
            return Refused(f"{where}: {reason} ({remedy})")
    if isinstance(error, (*PASSING, OSError)) or PASSING_WORDS.search(said):
        return Unavailable(f"{where} {away} now: {type(error).__name__}: {reason}")
    return Refused(f"{where} refuses to {doing}: {reason}")


def connection_of(options: Mapping[str, Any]) -> str:
    """Return the connection string of Feast's `online_store`."""
    return str(options.get("connection_string", "")) or "localhost:6379"


def require_files(found: Mapping[str, Any]) -> None:
    """Raise `Refused` if certificates and keys among redis-py's options are invalid."""
    if not found.get("ssl"):
        return
    for name in ("ssl_ca_certs", "ssl_ca_path"):
        if path := found.get(name):
            require_authorities(Path(path), f"{name}= of {SETTING}")
    if certificate := found.get("ssl_certfile"):
        names = {"certificate": "ssl_certfile", "key": "ssl_keyfile", "password": "ssl_password"}
        key, password = found.get("ssl_keyfile"), found.get("ssl_password")
        named = {what: f"{name}= of {SETTING}" for what, name in names.items()}
        require_pair(Path(certificate), Path(key) if key else None, None if password is None else str(password), named)


def require_language(servers: RedisAddresses, found: Mapping[str, Any]) -> None:
    """Raise `Refused` if a server speaks TLS and we would not, or the reverse; no answer is accepted."""
    speaks = spoken(*servers[0])
    if speaks == "plain" and found.get("ssl"):
        message = (
            f"Redis at {address(servers)} speaks without TLS there, and ssl=true or rediss:// says TLS ({SETTING})"
        )
        raise Refused(message)
    if speaks == "tls" and not found.get("ssl"):
        message = f"Redis at {address(servers)} speaks TLS there: it takes ssl=true, or rediss:// ({SETTING})"
        raise Refused(message)


def spoken(host: str, port: int) -> Literal["plain", "tls", ""]:
    """Return whether a port speaks plain Redis or TLS; empty if it answers neither."""
    try:
        with closing(socket.create_connection((host.strip("[]"), port), LOOK_S)) as plain:
            plain.sendall(b"PING\r\n")
            if plain.recv(1) in {b"+", b"-"}:
                return "plain"
    except OSError:
        pass
    return "tls" if speaks_tls(host.strip("[]"), port, LOOK_S) else ""


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether an untrusted certificate was the cause of redis-py's error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False

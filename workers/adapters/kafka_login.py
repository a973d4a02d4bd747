"""Detect failed logins to Kafka: with a wrong password kafka-python retries for ever, and says so only in its log.

In: kafka-python's connections. Out: the error that a connection ended with, and whether it is permanent. Knows no
settings.
"""

import ssl
from pathlib import Path
from typing import Any

from kafka.errors import (
    AuthorizationError,
    IllegalSaslStateError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.net.selector import NetworkSelector

from undertow.core.errors import Refused
from undertow.settings.kafka_security import read_secret

IN_VAIN = (
    AuthorizationError,
    IllegalSaslStateError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)


_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""How a port without TLS ends a handshake, but also a broker that is shutting down."""
_WRONG_PORT = "is kafka.security_protocol that of this port?"


class LoginRefused(KafkaError):  # type: ignore[misc]  # noqa: N818 as Refused; kafka-python has no types
    """The broker rejected the login, or we do not trust its certificate."""


class Login:
    """The outcome of one client's connections. Written by the client's thread, read by any."""

    def __init__(self) -> None:
        self.refusal: KafkaError | None = None
        """Why the last login was rejected; None after a successful one."""
        self.was_in = False
        self.failure: BaseException | None = None
        """Why the last failed connection failed."""

    def client(self, **options: Any) -> Any:
        """Build the connection client that records in this; for kafka-python's option `kafka_client`."""
        net = NetworkSelector(**options)
        return KafkaNetClient(net=net, manager=_WatchedManager(self, net, **options))

    def succeeded(self, _connected: object) -> None:
        """Record a successful login."""
        self.was_in = True
        self.refusal = self.failure = None

    def failed(self, error: BaseException) -> None:
        """Record an error, and whether it is a rejected login."""
        self.failure = error
        if isinstance(error, (*IN_VAIN, Refused)):
            self.refusal = error if isinstance(error, KafkaError) else LoginRefused(str(error))
        elif (cause := _tls_error(error)) is not None and not isinstance(cause, _CUT_OFF):
            self.refusal = LoginRefused(_tls_words(cause))


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Bearer tokens from a file, which may be replaced at any time: it is read for each login."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def token(self) -> str:
        """Return the present token. Raises `Refused`."""
        return read_secret(self._file, "kafka.oauth_token_file").strip()


class _WatchedManager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python has no types
    """Records why a connection failed, which nothing else in kafka-python knows."""

    def __init__(self, login: Login, net: Any, **options: Any) -> None:
        self._login = login
        super().__init__(net, **options)

    def get_connection(self, node_id: Any, *args: Any, **options: Any) -> Any:
        if self._login.refusal is not None and not self._login.was_in:
            raise self._login.refusal  # else the bootstrap would retry until its time-out
        known = self._conns.get(node_id)
        connection = super().get_connection(node_id, *args, **options)
        if connection is not known:
            connection.init_future.add_callback(self._login.succeeded)
            connection.init_future.add_errback(self._login.failed)
        return connection

    async def _build_transport(self, *args: Any, **options: Any) -> Any:
        transport = await super()._build_transport(*args, **options)
        receive = transport._sock_recv  # noqa: SLF001  there is no other way in

        def data_first() -> tuple[bytes, Exception | None]:
            """Return the data received before the connection closed, which has the reason: kafka-python drops it.

            The next call sees the close again.
            """
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = data_first  # noqa: SLF001  likewise
        return transport

    def bootstrap(self, *args: Any, **options: Any) -> None:
        try:
            super().bootstrap(*args, **options)
        except KafkaTimeoutError as error:
            if self._login.failure is None:
                raise
            message = f"{error.args[0]}; the last attempt: {self._login.failure}"
            if isinstance(_tls_error(self._login.failure), _CUT_OFF) or "disconnected" in message:
                message += f" ({_WRONG_PORT})"
            raise KafkaTimeoutError(message) from error


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the TLS error that caused an error of kafka-python, which passes it on in three ways."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop()
        if isinstance(found, ssl.SSLError):
            return found
        if isinstance(found, BaseException) and found not in seen:
            seen.append(found)
            waiting += [found.__cause__, found.__context__, *found.args]
    return None


def _tls_words(error: ssl.SSLError) -> str:
    """Return a message of which side does not trust the other, and the remedy."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message} (kafka.ca_file has the authorities that are)"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason or "certificate" in reason:
        return f"it does not take our certificate: {reason} (see kafka.cert_file and kafka.key_file)"
    return f"TLS failed: {reason} ({_WRONG_PORT})"

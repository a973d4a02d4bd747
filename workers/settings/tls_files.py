"""Check certificates and keys before a client uses them; and whether a port speaks TLS.

In: files, a password, the names of their settings; a port. Out: nothing, or `Refused` with the setting whose file is
wrong. Knows no client. Clients' own errors name neither file nor setting, and OpenSSL would prompt on the terminal for
the password of an encrypted key.
"""

import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from undertow.core.errors import Refused


class _LockedError(Exception):
    """A key is encrypted, and no password is given."""


def require_authorities(file: Path, setting: str) -> None:
    """Raise `Refused` if a file, or a folder's files, hold no CA certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if file.is_dir():
            context.load_verify_locations(capath=str(file))
        else:
            context.load_verify_locations(cafile=str(file))
    except ssl.SSLError as error:
        message = f"expected certificates (PEM) in {file} ({setting}), found none that can be read: {_reason(error)}"
        raise Refused(message) from error
    except OSError as error:
        message = f"expected a file at {file} ({setting}): {error.strerror}"
        raise Refused(message) from error


def require_pair(certificate: Path, key: Path | None, password: str | None, names: Mapping[str, str]) -> None:
    """Raise `Refused` if a certificate, its key and the key's password do not fit together.

    `names` are the names of the settings `certificate`, `key` and `password`. If `key` is None, the key is in the
    certificate's file.
    """
    for file, name in ((certificate, "certificate"), (key, "key")):
        if file is not None:
            _require_file(file, names[name])
    named = f"{key or certificate} ({names['key' if key else 'certificate']})"
    asked = []

    def answer() -> str:
        asked.append(True)
        if password is None:
            raise _LockedError
        return password

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, answer)
    except _LockedError as error:
        message = f"the key in {named} is locked by a password, and none is given: {names['password']}"
        raise Refused(message) from error
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            message = f"the key in {named} is not that of the certificate in {certificate} ({names['certificate']})"
        elif asked:
            message = f"the password given does not open the key in {named}: {names['password']}"
        else:
            both = f"{certificate} ({names['certificate']})" + (f" and its key in {named}" if key else " with its key")
            message = f"expected a certificate (PEM) in {both}, but they cannot be read: {_reason(error)}"
        raise Refused(message) from error
    except (OSError, ValueError) as error:  # a password of more than 1,023 bytes is a ValueError
        message = f"the key in {named} cannot be read: {error} (see {names['password']})"
        raise Refused(message) from error


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Whether a port answers a TLS hello. No certificate is verified."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with closing(socket.create_connection((host, port), timeout_s)) as bare:
            context.wrap_socket(bare).close()
    except OSError:  # `ssl.SSLError` is one, too
        return False
    return True


def _require_file(file: Path, setting: str) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        message = f"expected a file at {file} ({setting}): {error.strerror}"
        raise Refused(message) from error


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()

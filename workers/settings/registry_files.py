"""Check the certificates and keys of the schema registry's client before it uses them.

In: the table `kafka.registry_extra`. Out: nothing, or `Refused` with the option whose file is wrong. Knows no client.
confluent-kafka's would pass an encrypted key to OpenSSL without its password, which then prompts on the terminal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from undertow.core.errors import Refused
from undertow.settings.tls_files import require_authorities, require_pair

AUTHORITIES, CERTIFICATE, KEY, PASSWORD = (
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
)


def require_registry_files(extra: Mapping[str, Any]) -> None:
    """Raise `Refused` if the files in the table do not exist or do not fit together.

    The authorities may be a bool: False turns verification off, True means the system's authorities.
    """
    if isinstance(authorities := extra.get(AUTHORITIES), str):
        if not authorities:
            message = f"expected a file or a folder, found an empty text: {_named(AUTHORITIES)}"
            raise Refused(message)
        require_authorities(Path(authorities), _named(AUTHORITIES))
    certificate, key = extra.get(CERTIFICATE), extra.get(KEY)
    if certificate:
        names = {"certificate": _named(CERTIFICATE), "key": _named(KEY), "password": _named(PASSWORD)}
        require_pair(Path(certificate), Path(key) if key else None, extra.get(PASSWORD), names)
    for name in (KEY, PASSWORD):
        if extra.get(name) and not certificate:
            message = f"{_named(name)} is given without a certificate ({_named(CERTIFICATE)})"
            raise Refused(message)


def _named(option: str) -> str:
    return f"kafka.registry_extra.{option}"

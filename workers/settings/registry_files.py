"""The certificates and keys that the schema registry's client would be given, checked before it is.

In: the table `kafka.registry_extra`. Out: nothing, or `Refused` with the option whose file is not as it must be. Knows
no client: confluent-kafka's hands a locked key to OpenSSL without its password, which then asks a terminal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from undertow.core.errors import Refused
from undertow.settings.certificates import require_authorities, require_pair

AUTHORITIES, CERTIFICATE, KEY, PASSWORD = (
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
)


def require_registry_files(extra: Mapping[str, Any]) -> None:
    """Raise `Refused` where the files of a table do not fit together, or are not there.

    Authorities may be a bool there: False turns the verification off, True means the system's.
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

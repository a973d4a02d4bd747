"""Mask secrets in settings and in error texts.

In: names of options, values, texts of vendors' errors. Out: whether a name denotes a secret; the text that may be
shown. Knows no vendor: an option's name tells whether it holds a secret.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "***"

_WORDS = ("password", "passwd", "secret", "token", "passphrase", "credential", "user.info", "userinfo", "api_key")
_PLACES = ("_file", "_path", "_url", "_uri", ".location", ".path", ".url", "_provider")
"""Endings of options that say where a secret is, and do not hold it."""
_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_IN_LIST = re.compile(r"((?:password|secret|token)\w*\s*=\s*)[^,\s]+", re.IGNORECASE)
"""A secret inside a connection string as Feast writes it: `host:6379,password=...`."""
_KEY_MATERIAL = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL)


def is_secret(name: str) -> bool:
    """Whether an option of this name, `kafka.extra.ssl_password` for instance, holds a secret."""
    low = name.lower()
    return any(word in low for word in _WORDS) and not low.endswith(_PLACES)


def masked(name: str, value: Any) -> Any:
    """Return the value with every secret masked, also inside nested dicts and lists."""
    if value and is_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(name, inner) for inner in value]
    if isinstance(value, str):
        return _KEY_MATERIAL.sub(MASK, _IN_LIST.sub(rf"\1{MASK}", _IN_URL.sub(MASK, value)))
    return value


def secrets_in(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text in the options that may not be shown."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from secrets_in({f"{name}.{key}": inner for key, inner in value.items()})
        elif isinstance(value, (list, tuple)):
            yield from secrets_in({f"{name}.{place}": inner for place, inner in enumerate(value)})
        elif value and is_secret(name):
            yield str(value)
            yield str(value).partition(":")[2]  # basic.auth.user.info = "user:password"
        elif isinstance(value, str):
            yield from (login.partition(":")[2] for login in _IN_URL.findall(value))
            yield from (found.group().removeprefix(found.group(1)) for found in _IN_LIST.finditer(value))
            yield from _KEY_MATERIAL.findall(value)


def without(text: str, secrets: Iterable[str]) -> str:
    """Remove the secrets from a text, in plain form and as Python's `repr` quotes them."""
    forms = {form for secret in secrets if secret for form in (secret, repr(secret)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):  # longest first: one may be part of another
        text = text.replace(form, MASK)
    return text

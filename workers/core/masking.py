"""Mask secrets in settings and in error texts.

In: names of options, values, texts of vendors' errors. Out: whether a name denotes a secret; the text that may be
shown. Knows no vendor: an option's name tells whether it holds a secret.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
LEAST = 4
"""A shorter secret is masked only where it is a whole word. A choice: others would make any text unreadable."""
SHORTEST = 3
"""A secret of fewer characters is masked only where its name or its place says that it is one, not in free text: there
`a` or `is` would be masked as words, which hides what is said, and tells the secret besides. A choice."""

_WORDS = ("password", "passwd", "secret", "token", "passphrase", "credential", "user.info", "userinfo", "api_key")
_PLACES = ("_file", "_path", "_url", "_uri", ".location", ".path", ".url", "_provider")
"""Endings of options that say where a secret is, and do not hold it."""
_LOGINS = ("user.info", "userinfo", "credentials")
"""Endings of options that hold `user:password`."""
_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_IN_LIST = re.compile(
    r"((?:password|secret|token)(?!\w*_(?:file|path|url|uri|provider)\b)\w*(?:=|\s+=\s*))[^,\s]+", re.IGNORECASE
)
"""A secret inside a connection string as Feast writes it: `host:6379,password=...`. The prose `password= there` has
none."""
_IN_DICT = re.compile(
    r"""((?:password|secret|token|user\.info)\w*["']\s*:\s*b?(["']))(?:\\.|(?!\2).)+(?=\2)""", re.IGNORECASE
)
_IN_HEADER = re.compile(r"""(authorization["']?\s*[:=]\s*["']?(?:basic|bearer)\s+)[^\s"',]+""", re.IGNORECASE)
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
        for pattern in (_IN_LIST, _IN_DICT, _IN_HEADER):
            value = pattern.sub(rf"\1{MASK}", value)
        return _KEY_MATERIAL.sub(MASK, _IN_URL.sub(MASK, value))
    return value


def secrets_in(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text in the options that may not be shown."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from secrets_in({f"{name}.{key}": inner for key, inner in value.items()})
        elif isinstance(value, (list, tuple)):
            yield from secrets_in({f"{name}.{place}": inner for place, inner in enumerate(value)})
        elif value and is_secret(name) and not isinstance(value, bool):
            yield str(value)
            if name.lower().endswith(_LOGINS):
                yield str(value).partition(":")[2]
        elif isinstance(value, str):
            yield from (login.partition(":")[2] for login in _IN_URL.findall(value))
            yield from (found.group().removeprefix(found.group(1)) for found in _IN_LIST.finditer(value))
            yield from _KEY_MATERIAL.findall(value)


def without(text: str, secrets: Iterable[str]) -> str:
    """Remove the secrets from a text, in every form that a vendor's error may show one in.

    One of fewer than `LEAST` characters is removed where it is a word of its own; one of fewer than `SHORTEST` is not.
    """
    forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):  # longest first: one may be part of another
        if len(form) >= LEAST:
            text = text.replace(form, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
    return text


def _forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, as Python's `repr` and `ascii` show texts and bytes, in JSON, in a URL, in base64."""
    encoded = secret.encode(errors="backslashreplace")
    yield secret
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]
    yield repr(f"\"'{secret}")[4:-1]
    yield ascii(f"\"'{secret}")[4:-1]
    yield repr(encoded)[2:-1]
    yield repr(b"\"'" + encoded)[5:-1]
    yield json.dumps(secret)[1:-1]
    yield quote(encoded)
    yield quote(encoded, safe="")
    yield quote_plus(encoded)
    yield base64.b64encode(encoded).decode()

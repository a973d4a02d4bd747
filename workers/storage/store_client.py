"""The client of a bucket in an object store, by obstore.

In: a bucket's URI and options. Out: obstore's client, kept for the life of the process; its errors as `OSError`s, which
is what callers expect of a disk. Knows no path.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from undertow.core.errors import Refused
from undertow.core.masking import secrets_in

SCHEMES: Mapping[str, int] = MappingProxyType({"s3": 1, "gs": 1, "az": 2})
"""By scheme, how many names make a bucket: Azure's has an account and a container."""
_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "s3": MappingProxyType(
            {
                "endpoint": "aws_endpoint",
                "region": "aws_region",
                "access_key_id": "aws_access_key_id",
                "secret_access_key": "aws_secret_access_key",
                "session_token": "aws_session_token",
            }
        ),
        "gs": MappingProxyType({}),
        "az": MappingProxyType(
            {"endpoint": "azure_storage_endpoint", "secret_access_key": "azure_storage_account_key"}
        ),
    }
)
"""What each kind calls an option; one that it does not know is taken from `extra` or its own variables only."""
_VENDORS: Mapping[str, str] = MappingProxyType({"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"})
"""How the names of their environment variables begin. obstore reads them, but for what is said of the connection."""
_CODE, _ABSENT = re.compile(r"<Code>(\w+)</Code>"), frozenset({"NoSuchKey", "BlobNotFound"})
"""What a server calls its errors, and what it calls an object that is not there. GCS has other words for its JSON."""
CONNECT_S, REQUEST_S = 5, 30
RETRIES, RETRY_S = 5, 15
"""Retries inside the client: short, since whoever calls it tries again itself, and tells of it. Choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How a store is reached. What is empty is taken from the vendor's environment variables (AWS_REGION, ...)."""

    endpoint: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    ca_file: str = ""
    extra: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Options of object_store, by its names, such as `aws_virtual_hosted_style_request`."""
    cache_bytes: int = 0
    """How many bytes of objects may stay on this machine's disk; 0: none."""

    def config(self, scheme: str) -> dict[str, str]:
        """Return the options under object_store's names, as obstore and Delta Lake take them."""
        words = _WORDS[scheme]
        known = {words[name]: value for name in words if (value := getattr(self, name))}
        return known | dict(self.extra)

    def secrets(self) -> Iterator[str]:
        """Yield what may not be shown."""
        yield from filter(None, (self.secret_access_key, self.session_token))
        yield from secrets_in(dict(self.extra))

    @property
    def allows_http(self) -> bool:
        """Whether the endpoint is without TLS, which must be said to the client."""
        return self.endpoint.startswith("http://")


@lru_cache
def open_client(bucket: str, options: StoreOptions) -> Any:
    """Return the client of a bucket, such as `s3://name`. Connects to nothing yet. Raises `Refused`, `OSError`."""
    # Only who uses a store has it installed.
    from obstore.exceptions import UnknownConfigurationKeyError  # noqa: PLC0415
    from obstore.store import from_url  # noqa: PLC0415

    http: dict[str, Any] = {"connect_timeout": timedelta(seconds=CONNECT_S), "timeout": timedelta(seconds=REQUEST_S)}
    scheme = bucket.partition(":")[0]
    if options.allows_http or os.environ.get(f"{_VENDORS[scheme]}_ALLOW_HTTP", "").lower() in {"true", "1"}:
        http["allow_http"] = True
    if options.ca_file:
        http["root_certificate"] = Path(options.ca_file).read_bytes()
    try:
        with as_os_errors(bucket):
            return from_url(
                bucket,
                config=options.config(scheme),
                client_options=http,
                retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
            )
    except UnknownConfigurationKeyError as error:
        message = f"store.extra: {str(error).partition(chr(10))[0]} See object_store's names of options"
        raise Refused(message) from None


@contextlib.contextmanager
def as_os_errors(uri: str) -> Iterator[None]:
    """Raise `OSError`s with an errno for what the client raises, its first line only: the rest are its own causes."""
    from obstore import exceptions  # noqa: PLC0415 as above

    try:
        yield
    except FileNotFoundError as error:
        # A server answers 404 for a bucket or a user, too, that it does not know: then nothing is known of the object.
        if (code := _CODE.search(str(error))) and code[1] not in _ABSENT:
            raise OSError(errno.EIO, f"the store answers {code[1]}", uri) from error
        raise FileNotFoundError(errno.ENOENT, "no such object", uri) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, f"the store refuses: {_line(error)}", uri) from error
    except exceptions.AlreadyExistsError as error:
        raise FileExistsError(errno.EEXIST, "is there already", uri) from error
    except exceptions.UnknownConfigurationKeyError:
        raise
    except exceptions.BaseError as error:
        raise OSError(errno.EIO, _line(error), uri) from error


def _line(error: Exception) -> str:
    if code := _CODE.search(str(error)):
        return f"the store answers {code[1]}"
    return " ".join(str(error).partition("\n\n")[0].split())[:300]

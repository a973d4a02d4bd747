"""Let one `apply` at a time write Feast's registry, where that is one file or object: each reads and writes all of it.

In: a `FeatureStore`. Out: a context. It needs Feast alone, and boto3, by which Feast itself reads a registry in S3.

A SQL registry is written row by row, and needs no lock. One at `gs://` has none: apply from one place at once.
"""

import contextlib
import fcntl
import os
import socket
import time
import uuid
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from feast import FeatureStore

LOCK_WAIT_S = 120
"""How long to wait for another `apply`: longer than any takes. A choice."""
ABANDONED_S = 300
"""The age of a lock in S3 whose holder has died: an `apply` holds it for seconds. A choice, above `LOCK_WAIT_S`."""
PAUSE_S = 0.5
"""The pause between two tries to make a lock in S3. A choice: each try is a request."""
GONE, CONFLICT, TAKEN, BUSY = 404, 409, 412, 500
"""How S3 answers where a lock is not there, is just being made, or is there; and from where on its answers say nothing
but that it could not answer, which may pass."""


@contextlib.contextmanager
def registry_lock(store: FeatureStore) -> Iterator[None]:
    """Lock the registry. Raises `TimeoutError` where another `apply` goes on holding it."""
    registry = store.config.registry
    with contextlib.ExitStack() as held:
        if registry.registry_type == "file" and registry.path.startswith("s3://"):
            held.enter_context(object_lock(f"{registry.path}.lock"))
        elif registry.registry_type == "file" and "://" not in registry.path:
            held.enter_context(_file_lock(Path(store.repo_path) / f"{registry.path}.lock"))
        yield


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the system, however the process ends
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    message = f"another apply has held {path} for {LOCK_WAIT_S} s; wait for it, or end it"
                    raise TimeoutError(message) from None
                time.sleep(0.05)
        yield


@contextlib.contextmanager
def object_lock(address: str, wait_s: float = LOCK_WAIT_S, abandoned_s: float = ABANDONED_S) -> Iterator[None]:
    """Hold an object that only one can create (`If-None-Match: *`), and delete it at the end.

    One that its holder left is taken over when it is older than `abandoned_s`, by the server's clock.
    """
    import boto3  # noqa: PLC0415  only a registry in S3 needs it
    from botocore.config import Config  # noqa: PLC0415  likewise

    bucket, _, key = address.removeprefix("s3://").partition("/")
    # As Feast makes its own client, so that both find the same server. What is read is compared, which needs no
    # checksum: there are servers that replace an object and its checksum one after the other.
    unchecked = Config(response_checksum_validation="when_required")
    client = boto3.Session().client("s3", endpoint_url=os.environ.get("FEAST_S3_ENDPOINT_URL"), config=unchecked)
    place, mine = {"Bucket": bucket, "Key": key}, f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}".encode()
    until = time.monotonic() + wait_s
    while not (_put(client, place, mine, IfNoneMatch="*") or _took_over(client, place, mine, abandoned_s)):
        if time.monotonic() > until:
            message = (
                f"another apply has held {address} for {wait_s:g} s, or its store is busy; wait for it, or end it: the "
                f"lock of one that died is taken over {abandoned_s:g} s after it was made"
            )
            raise TimeoutError(message)
        time.sleep(PAUSE_S)
    try:
        yield
    finally:
        if _content(client, place) == mine:  # else it was taken over
            client.delete_object(**place)


def _put(client: Any, place: dict[str, str], mine: bytes, **condition: str) -> bool:
    """Write the lock if the condition holds; return whether it is ours."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  as above

    try:
        client.put_object(**place, Body=mine, **condition)
    except ClientError as error:
        _require_passing(error)
        return _content(client, place) == mine  # the reply to a first try may have been lost
    return True


def _took_over(client: Any, place: dict[str, str], mine: bytes, abandoned_s: float) -> bool:
    """Replace a lock that was left, if nobody else has by then; return whether it is ours."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  as above

    try:
        found = client.head_object(**place)
    except ClientError as error:
        _require_passing(error)
        return False
    now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    is_left = (now - found["LastModified"]).total_seconds() > abandoned_s
    if not (is_left and _put(client, place, mine, IfMatch=found["ETag"])):
        return False
    time.sleep(PAUSE_S)  # there are servers that let two replace one object at once: who comes last holds it
    return _content(client, place) == mine


def _content(client: Any, place: dict[str, str]) -> bytes | None:
    """Return what the lock holds; None where there is none, or the server cannot tell now."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  as above

    try:
        content: bytes = client.get_object(**place)["Body"].read()
    except ClientError as error:
        _require_passing(error)
        return None
    return content


def _require_passing(error: Any) -> None:
    """Raise the error again unless it says that a lock is not there, is another's, or that the server is busy."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status not in {GONE, CONFLICT, TAKEN} and status < BUSY:
        raise error

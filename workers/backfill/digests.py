"""Content digests that identify files of history, cached until a file may have changed.

In: files, a note beside the job's parts. Out: digests. Knows nothing of what the files hold.

A rewrite may keep a file's size, its statistics and even its mtime. The ctime cannot be set back, so a file is read
again if size, mtime or ctime differ from the noted ones.
"""

import hashlib
import json
from typing import Any

from undertow.adapters.offline_files import replace
from undertow.core.errors import Unavailable
from undertow.storage.store_path import AnyPath, StorePath
from undertow.stream.ports import Clock

SECOND_NS = 1_000_000_000
SETTLED_NS = 2 * SECOND_NS
"""The coarsest resolution of file times, 2 s (FAT): a file that changed more recently may change again unnoticed."""


def stamp(path: AnyPath) -> str:
    """Return a text that changes whenever a file is written to: size, mtime and ctime; of an object, size and ETag."""
    if isinstance(path, StorePath):
        found = path.stat()
        return f"{found.st_size}-{found.tag or found.st_mtime}"
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def changed_ns(stamped: str) -> int:
    """Return when a file was last changed, in nanoseconds since the epoch."""
    return max(int(number) for number in stamped.split("-")[1:])


def content_digest(path: AnyPath) -> str:
    """Return the digest of a file's bytes; of an object, which need not be fetched for it, that of size and ETag."""
    if isinstance(path, StorePath):
        return hashlib.sha256(stamp(path).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """Digests of files, noted for the next run."""

    def __init__(self, note: AnyPath, *, clock: Clock) -> None:
        """`clock` gives seconds since the epoch. A note that is missing or damaged is begun anew."""
        self._note, self._clock = note, clock
        self._files: dict[str, dict[str, Any]] = {}
        try:
            said = json.loads(note.read_bytes())
            self._files = {str(path): dict(entry) for path, entry in said["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._files = {}

    def of(self, path: AnyPath) -> str:
        """Return the digest of a file's content, which is read only if it may have changed. Raises `OSError`."""
        now = stamp(path)
        known = self._files.get(str(path), {})
        if known.get("stamp") == now and known.get("digest"):
            return str(known["digest"])
        digest = content_digest(path)
        is_settled = isinstance(path, StorePath) or self._is_settled(path, now)
        trusted = known.get("trusted") if known.get("digest") == digest else None
        self._files[str(path)] = {"stamp": now if is_settled else "", "digest": digest, "trusted": trusted or ""}
        return digest

    def _is_settled(self, path: AnyPath, now: str) -> bool:
        return changed_ns(now) < self._clock() * SECOND_NS - SETTLED_NS and stamp(path) == now

    def trusts(self, path: AnyPath, identity: str) -> bool:
        """Whether parts of an earlier version with this identity were verified to match the file's content."""
        return bool(self._files.get(str(path), {}).get("trusted") == identity)

    def trust(self, path: AnyPath, identity: str) -> None:
        """Note that parts with this identity match the file's content."""
        self._files[str(path)]["trusted"] = identity

    def save(self) -> None:
        """Write the note. Raises `Unavailable`."""
        try:
            replace(self._note, json.dumps({"files": self._files}).encode())
        except OSError as error:
            message = f"{self._note} could not be written ({error}); free space on or repair its disk"
            raise Unavailable(message) from error

"""Marks: fingerprints of the last record before an offset, to recognize whether the broker still has it.

In: a record's fields. Out: a mark that is stored in a Parquet footer. Knows no broker.
"""

from dataclasses import dataclass
from hashlib import blake2b

DIGEST_BYTES = 16
_UNSEEN = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The fingerprint of one record of one partition."""

    offset: int
    epoch: int
    """The leader epoch at its append (KIP-320), -1 where that is not known: for people."""
    digest: str
    """Digest of its timestamp, key and value."""

    def to_metadata(self) -> dict[str, str]:
        """Return it as metadata of a footer."""
        return {"last": str(self.offset), "last_epoch": str(self.epoch), "last_digest": self.digest}

    @classmethod
    def parse(cls, said: dict[str, str]) -> "Mark | None":
        """Read it from a footer; None where an earlier version wrote that. Raises `ValueError` where it is garbled."""
        if "last_digest" not in said:
            return None
        return cls(offset=int(said["last"]), epoch=int(said["last_epoch"]), digest=said["last_digest"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainEnd:
    """The end of one part of a chain."""

    next: int
    mark: Mark | None
    """The last record before it; None where an earlier version wrote the part, or nothing was ever read."""
    refused: "tuple[RefusedRecord, ...]" = ()
    """Records of the part that were refused in quarantine, and not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A record that was refused since who took it ended, as who reads it once more has to know."""

    offset: int
    is_seen: bool = True
    """Whether it was read for what it names, if nothing else; False where replicas ended even of that."""

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.offset}{'' if self.is_seen else _UNSEEN}"

    @classmethod
    def parse(cls, text: str) -> "RefusedRecord":
        """Read it from its text. Raises `ValueError`."""
        return cls(offset=int(text.removesuffix(_UNSEEN)), is_seen=not text.endswith(_UNSEEN))


def mark_of(*, offset: int, epoch: int | None, appended_ms: int, key: bytes | None, value: bytes | None) -> Mark:
    """Return the mark of a record."""
    digest = blake2b(appended_ms.to_bytes(8, "big", signed=True), digest_size=DIGEST_BYTES)
    for field in (key, value):
        digest.update(b"\0" if field is None else b"\1" + len(field).to_bytes(8, "big") + field)
    return Mark(offset=offset, epoch=-1 if epoch is None else epoch, digest=digest.hexdigest())

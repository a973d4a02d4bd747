"""Sanitize Kafka's record batches before the client decompresses them.

In: the raw bytes of one fetch of one partition. Out: the same batches, decompressed within bounds; an unreadable one is
replaced by an empty batch of the same offsets, and reported. Knows no client of Kafka.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import crc32c

from undertow.adapters.kafka_codecs import DamagedError, TooLargeError, unpack
from undertow.adapters.kafka_records import mend

HEADER = struct.Struct(">qiibIhiqqqhii")
"""Offset, length, leader epoch, magic, checksum, attributes, last offset's delta, first and greatest timestamp,
producer id and epoch, base sequence, number of records: KIP-98's format, the only one since Kafka 0.11."""
BEFORE_LENGTH_COUNTS, BEFORE_CHECKSUM_COUNTS = 12, 21
CODEC_MASK = 0x07
MAGIC = 2


class UnreadableError(Exception):
    """The data at this offset cannot be read; a new fetch may help, since it may be corrupt only in transit."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Offsets `first <= offset < next` that an empty batch now stands for."""

    first: int
    next: int
    appended_ms: int
    reason: str
    detail: str
    value: bytes
    """The raw content: the batch, or the unreadable rest of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsableBatches:
    """Batches that are safe for the client to parse."""

    data: bytes | memoryview
    skipped: tuple[Skipped, ...] = ()
    odd: Mapping[int, tuple[str, str]]
    """By offset, records that had to be repaired to be readable: reason and detail of their reject."""
    unpacked: int = 0
    """Decompressed bytes of compressed batches."""


def make_plain(
    data: memoryview,
    *,
    position: int,
    max_unpacked_bytes: int,
    room: int,
    suspect: Collection[int] = (),
    given_up: Collection[int] = (),
) -> ParsableBatches:
    """Decompress batches: one to at most `max_unpacked_bytes`, and no further batch once `room` is used up.

    At offsets in `suspect` a record was unreadable: its batch is checked record by record. At those in `given_up` that
    did not help: the batch is skipped. Raises `UnreadableError` for a wrong checksum, unless given up, and `Refused`
    where a codec's package is missing.
    """
    out: list[bytes | memoryview] = []
    skipped: list[Skipped] = []
    odd: dict[int, tuple[str, str]] = {}
    used, since, is_as_it_was = 0, position, True
    for batch, following in _batches(data):
        if used > room:
            is_as_it_was = False
            break  # the rest is fetched again
        if len(batch) < HEADER.size or batch[16] != MAGIC:  # an older format, or the truncated end of the fetch
            out.append(batch)
            continue
        one = _Batch(batch, position, since)
        since = one.next
        if not one.is_sound:
            if not one.holds(given_up):
                message = f"the checksum of the batch at offset {one.base} is not right"
                raise UnreadableError(one.first, message)
            new = one.skip("corrupt", "the checksum of its batch is not right", skipped, next_base=following)
        elif one.holds(given_up):
            new = one.skip("corrupt", "its batch cannot be taken apart", skipped)
        elif one.codec or one.holds(suspect):
            try:
                body = unpack(one.codec, one.body, max_unpacked_bytes) if one.codec else bytes(one.body)
                used += len(body)
                new = one.mended(body, skipped, odd) if one.holds(suspect) else one.with_body(body, one.count)
            except TooLargeError:
                detail = (
                    f"its batch of {len(batch)} bytes becomes more than {max_unpacked_bytes} (kafka.max_unpacked_bytes)"
                )
                new = one.skip("bomb", detail, skipped)
            except DamagedError as error:
                new = one.skip("corrupt", str(error), skipped)
        else:
            out.append(batch)
            continue
        out.append(new)
        is_as_it_was = False
    plain = data if is_as_it_was else b"".join(out)
    return ParsableBatches(data=plain, skipped=tuple(skipped), odd=odd, unpacked=used)


def _batches(data: memoryview) -> Iterator[tuple[memoryview, int | None]]:
    """Yield each batch with the base offset of the next one, if known; last, the truncated end of the fetch."""
    place = 0
    while place < len(data):
        end = len(data)
        if place + BEFORE_LENGTH_COUNTS <= len(data):
            (length,) = struct.unpack_from(">i", data, place + 8)
            if length < 0:
                message = f"a batch says that it has {length} bytes"
                raise UnreadableError(struct.unpack_from(">q", data, place)[0], message)
            end = min(end, place + BEFORE_LENGTH_COUNTS + length)
        following = struct.unpack_from(">q", data, end)[0] if end + 8 <= len(data) else None
        yield data[place:end], following
        place = end


class _Batch:
    """One batch of format v2 (KIP-98)."""

    def __init__(self, batch: memoryview, position: int, since: int) -> None:
        """`since` is the end of the batch before: offsets between them that compaction removed belong to this one."""
        self._batch, self._header = batch, HEADER.unpack_from(batch)
        self.base, self._attributes, delta = self._header[0], self._header[5], self._header[6]
        self.first, self.next = max(self.base, position), self.base + max(delta, 0) + 1
        self._since = min(since, self.base)
        self.codec, self.count, self.body = self._attributes & CODEC_MASK, self._header[12], batch[HEADER.size :]
        length, checksum = self._header[1], self._header[4]
        # A batch truncated by the fetch limit is not handled here: it is fetched whole when it comes first.
        self._is_cut = BEFORE_LENGTH_COUNTS + length > len(batch)
        self.is_sound = self._is_cut or crc32c.crc32c(batch[BEFORE_CHECKSUM_COUNTS:]) == checksum
        if self._is_cut:
            self.codec = 0

    def holds(self, offsets: Collection[int]) -> bool:
        return not self._is_cut and any(self._since <= offset < self.next for offset in offsets)

    def with_body(self, body: bytes, count: int) -> bytes:
        """Return the batch with these records, uncompressed."""
        header = list(self._header)
        header[1] = HEADER.size - BEFORE_LENGTH_COUNTS + len(body)
        header[5], header[12] = self._attributes & ~CODEC_MASK, count
        covered = HEADER.pack(*header)[BEFORE_CHECKSUM_COUNTS:]
        header[4] = crc32c.crc32c(body, crc32c.crc32c(covered))
        return HEADER.pack(*header) + body

    def skip(self, reason: str, detail: str, skipped: list[Skipped], *, next_base: int | None = None) -> bytes:
        """Return the batch without records, and add it to `skipped`. `next_base` overrides its own header."""
        after = self.next if next_base is None else next_base
        self._note(skipped, self.first, after, reason, detail, bytes(self._batch))
        self._header = (*self._header[:6], after - 1 - self.base, *self._header[7:])
        return self.with_body(b"", 0)

    def mended(self, body: bytes, skipped: list[Skipped], odd: dict[int, tuple[str, str]]) -> bytes:
        """Return the batch with each record readable, and add those that were not to `skipped` and `odd`."""
        found = mend(body, self.count)
        odd |= {self.base + delta: fault for delta, fault in found.odd.items()}
        if found.rest:
            first = max(self.first, self.base + found.deltas)
            detail = f"the records from here to the end of the batch cannot be told apart: {found.why}"
            self._note(skipped, first, self.next, "corrupt", detail, found.rest)
        return self.with_body(found.body, found.count)

    def _note(self, skipped: list[Skipped], first: int, after: int, reason: str, detail: str, value: bytes) -> None:
        if after > first:
            skipped.append(
                Skipped(first=first, next=after, appended_ms=self._header[8], reason=reason, detail=detail, value=value)
            )

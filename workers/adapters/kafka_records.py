"""Parse the records of one Kafka batch one by one, and repair those that the client could not read.

In: the decompressed bytes of a batch's records. Out: the same records, each readable; which were repaired, and why.
Knows no client of Kafka, and nothing of batches.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_VARINT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedBatch:
    """Records that are all readable."""

    body: bytes
    count: int
    odd: Mapping[int, tuple[str, str]]
    """By the offset within the batch: reason and detail of a record's reject."""
    deltas: int
    """Offsets of the batch that the records cover."""
    rest: bytes
    """The remaining bytes that cannot be parsed; empty where all could."""
    why: str


def mend(body: bytes, count: int) -> RepairedBatch:
    """Make each record readable: header names become UTF-8, a malformed record becomes the value of a new one."""
    out = bytearray()
    odd: dict[int, tuple[str, str]] = {}
    place, deltas = 0, 0
    for done in range(count):
        try:
            size, start = _varint(body, place)
        except (ValueError, IndexError) as error:
            size, start, why = -1, place, str(error)
        else:
            why = f"one has {size} bytes and the batch only {len(body) - start} more"
        if size < 0 or start + size > len(body):
            return RepairedBatch(body=bytes(out), count=done, odd=odd, deltas=deltas, rest=body[place:], why=why)
        record = body[start : start + size]
        delta, mended, fault = _mend_one(record, deltas)
        if fault is not None:
            odd[delta] = fault
        out += _zigzag(len(mended)) + mended
        deltas, place = delta + 1, start + size
    return RepairedBatch(
        body=bytes(out), count=count, odd=odd, deltas=deltas, rest=body[place:], why="more than its count"
    )


def _mend_one(record: bytes, least: int) -> tuple[int, bytes, tuple[str, str] | None]:
    """Return a record's offset within the batch, the record, and why it must be rejected, if it must."""
    delta = least
    try:
        _, place = _varint(record, 1)  # the timestamp, behind a byte of attributes
        head = record[:place]
        said, place = _varint(record, place)
        if said >= least:
            delta = said
        rest_at = place
        for _ in ("key", "value"):
            place = _skip(record, place)
        headers_at = place
        headers, is_odd = _headers(record, place)
    except (ValueError, IndexError) as error:
        stub = b"\0" + _zigzag(0) + _zigzag(delta) + _zigzag(-1) + _zigzag(len(record)) + record + _zigzag(0)
        return delta, stub, ("corrupt", f"the record cannot be taken apart ({error}); its value here is all of it")
    if not is_odd:
        return delta, record, None
    names = "the name of a header is no UTF-8; here its bytes are written as \\x.."
    return delta, head + _zigzag(said) + record[rest_at:headers_at] + headers, ("header", names)


def _headers(record: bytes, place: int) -> tuple[bytes, bool]:
    """Return the headers with names in UTF-8, and whether some were not. Raises `ValueError`."""
    count, place = _varint(record, place)
    if count < 0:
        message = f"it has {count} headers"
        raise ValueError(message)
    out, is_odd = bytearray(_zigzag(count)), False
    for _ in range(count):
        after = _skip(record, place)
        size, start = _varint(record, place)
        if size < 0:
            message = "a header has no name"
            raise ValueError(message)
        name = record[start:after].decode("utf-8", "backslashreplace").encode()
        is_odd |= name != record[start:after]
        place = _skip(record, after)
        out += _zigzag(len(name)) + name + record[after:place]
    if place != len(record):
        message = f"{len(record) - place} bytes follow its headers"
        raise ValueError(message)
    return bytes(out), is_odd


def _skip(record: bytes, place: int) -> int:
    """Return the end of the length-prefixed bytes at this place; a length of -1 means none."""
    size, start = _varint(record, place)
    if size < -1 or start + max(size, 0) > len(record):
        message = f"{size} bytes are said to follow, and there are {len(record) - start}"
        raise ValueError(message)
    return start + max(size, 0)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a varint and where it ends. Raises `IndexError`, `ValueError`."""
    value = shift = 0
    for end in range(place, place + LONGEST_VARINT):
        value |= (data[end] & 0x7F) << shift
        if data[end] < 0x80:  # noqa: PLR2004 the eighth bit says that more follow
            return (value >> 1) ^ -(value & 1), end + 1
        shift += 7
    message = f"a number at byte {place} does not end"
    raise ValueError(message)


def _zigzag(value: int) -> bytes:
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 seven bits in each byte
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)

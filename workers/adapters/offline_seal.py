"""A checksum (seal) in every Parquet file of the log, so that readers detect any flipped bit.

In: the bytes of a Parquet file, an open file. Out: sealed bytes; whether a file is as it was written. Knows nothing of
the content.

Parquet's own checksums cover only pages, neither their headers nor the footer, and DuckDB ignores them. So 24 bytes are
added between pages and footer, where Parquet allows gaps that no reader reads: a marker, the CRC-32 of all bytes before
it, and the CRC-32 of all bytes after it, so that the footer can be checked alone.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

MARK = b"undertow-sealed\x00"
NUMBERS = struct.Struct("<II")
TRAILER = 8
"""Bytes at the end of every Parquet file: the length of its footer, PAR1."""
LEAST_TAIL = 1 << 16
PIECE = 1 << 20


class BrokenSealError(Exception):
    """The bytes are not those that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The bytes after the pages of a file."""

    footer: bytes
    """The footer, with its length and PAR1."""
    body: int
    """The number of bytes before the marker."""
    body_crc: int | None
    """None if the file has no seal, as files of earlier versions and of other programs."""


def seal(parquet: bytes) -> bytes:
    """Return the file with a seal."""
    body = len(parquet) - TRAILER - int.from_bytes(parquet[-TRAILER:-4], "little")
    view = memoryview(parquet)
    body_crc = zlib.crc32(view[:body])
    return b"".join([view[:body], MARK, NUMBERS.pack(body_crc, _footer_crc(body_crc, view[body:])), view[body:]])


def read_tail(file: BinaryIO) -> Tail:
    """Return the bytes after the pages, checked. Raises `BrokenSealError`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TRAILER))
    footer = TRAILER + int.from_bytes(file.read(4), "little")
    wanted = len(MARK) + NUMBERS.size + footer
    length = min(size, max(LEAST_TAIL, wanted))
    file.seek(size - length)
    tail = file.read(length)
    place, found = length - wanted, tail[length - footer :]
    if place < 0 or tail[place : place + len(MARK)] != MARK:
        return _without(tail, found, place, size=size)
    body_crc, footer_crc = NUMBERS.unpack_from(tail, place + len(MARK))
    if _footer_crc(body_crc, found) != footer_crc:
        message = "its footer is damaged: the checksum is not the one that was written"
        raise BrokenSealError(message)
    return Tail(footer=found, body=size - wanted, body_crc=body_crc)


def _without(tail: bytes, footer: bytes, place: int, *, size: int) -> Tail:
    """Return the tail of a file without a marker. Raises `BrokenSealError` if it once had one."""
    if tail.rfind(MARK) >= 0:
        message = "its footer is damaged: the length is not the one that was written"
        raise BrokenSealError(message)
    if place >= 0:
        body_crc, footer_crc = NUMBERS.unpack_from(tail, place + len(MARK))
        if _footer_crc(body_crc, footer) == footer_crc:
            message = "the mark of its seal is damaged"
            raise BrokenSealError(message)
    return Tail(footer=tail, body=size, body_crc=None)


def is_sealed(file: BinaryIO) -> bool:
    """Read a whole file; return whether it has a seal. Raises `BrokenSealError` if it is not as it was written."""
    tail = read_tail(file)
    if tail.body_crc is None:
        return False
    file.seek(0)
    crc, left = 0, tail.body
    while piece := file.read(min(PIECE, left)):
        crc, left = zlib.crc32(piece, crc), left - len(piece)
    if crc != tail.body_crc:
        message = "its rows are damaged: the checksum is not the one that was written"
        raise BrokenSealError(message)
    return True


def _footer_crc(body_crc: int, footer: bytes | memoryview) -> int:
    return zlib.crc32(footer, body_crc)

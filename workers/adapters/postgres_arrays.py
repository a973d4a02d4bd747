"""Arrays in the binary form of Postgres, made of numpy's: vectors of pgvector, and event times.

In: arrays. Out: `BinaryArray`s, which psycopg sends as they are. As texts, each number would be printed and read again.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

TIMESTAMPTZ = 1184
"""The type's number in every Postgres."""

_EPOCH_US = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: where Postgres's times begin."""


class BinaryArray(bytes):
    """A whole array, as Postgres reads it. The statement says its type: `%(name)s::timestamptz[]`."""


class BinaryArrayDumper(Dumper):
    """Sends a `BinaryArray` without looking into it."""

    format = Format.BINARY
    oid = 0  # the server takes the type from the statement

    def dump(self, obj: bytes) -> Buffer:
        """Return it unchanged."""
        return bytes(obj)


def take_binary_arrays(context: AdaptContext) -> None:
    """Let this connection or cursor send `BinaryArray`s."""
    context.adapters.register_dumper(BinaryArray, BinaryArrayDumper)


def times(us: NDArray[np.int64]) -> BinaryArray:
    """Return timestamptz[] of n times in microseconds since 1970, UTC."""
    return _array(TIMESTAMPTZ, (us - _EPOCH_US).astype(">i8")[:, None].view(np.uint8))


def vectors(rows: NDArray[np.float32], oid: int) -> BinaryArray:
    """Return vector[] of (n, d); `oid` is the number that pgvector's type has in this database."""
    n, d = rows.shape
    head = np.broadcast_to(np.frombuffer(struct.pack(">HH", d, 0), np.uint8), (n, 4))
    return _array(oid, np.concatenate([head, rows.astype(">f4").view(np.uint8)], axis=1))


def _array(oid: int, elements: NDArray[Any]) -> BinaryArray:
    """Put n elements of w bytes, (n, w), into one array: n of at least 1."""
    n, w = elements.shape
    size = np.broadcast_to(np.frombuffer(struct.pack(">i", w), np.uint8), (n, 4))
    dimensions, has_null, first = 1, 0, 1
    head = struct.pack(">iiIii", dimensions, has_null, oid, n, first)
    return BinaryArray(head + np.concatenate([size, elements], axis=1).tobytes())

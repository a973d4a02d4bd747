"""Feast's wire bytes, built a batch at a time: entity keys, Redis fields, timestamps and vectors.

In: columns of ids, event times, vectors. Out: lists of bytes, equal to what Feast 0.67 itself writes (golden tests hold
the two together). Knows no store, and neither Feast nor protobuf is imported: that costs 4 s and 400 MB a process.
"""

import struct
from collections.abc import Mapping

import mmh3
import numpy as np
from numpy.typing import NDArray

from undertow.schemas.windows import Values

KEY_VERSION = 3
"""The only `entity_key_serialization_version` that Feast still supports."""

_STRING, _INT64 = 2, 4  # feast.types.ValueType.Enum
_FLOAT_LIST_TAG = b"\x82\x01"  # Value.float_list_val: field 16, length-delimited
_PACKED_FLOATS_TAG = b"\x0a"  # FloatList.val: field 1, packed
_SECONDS_TAG, _NANOS_TAG = 0x08, 0x10  # Timestamp: fields 1 and 2, varints
_HEADER = struct.Struct("<II")
_INT64_ID = np.dtype([("type", "<u4"), ("size", "<u4"), ("value", "<i8")])
_MICROS = 1_000_000


def entity_keys(series: Mapping[str, Values]) -> list[bytes]:
    """Serialize the n entities whose id columns are given. Feast sorts join keys by name, whatever their order here."""
    names = sorted(series)
    prefix = struct.pack("<I", len(names)) + b"".join(_with_header(name.encode()) for name in names)
    keys = _ids(series[names[0]])
    if len(names) == 1:
        return [prefix + key for key in keys]
    others = [_ids(series[name]) for name in names[1:]]
    return [prefix + b"".join(ids) for ids in zip(keys, *others, strict=True)]


def redis_field(view: str, feature: str) -> bytes:
    """Name the field of a Redis hash that holds one feature of one view."""
    return mmh3.hash(f"{view}:{feature}", signed=False).to_bytes(4, "little")


def timestamp_field(view: str) -> bytes:
    """Name the field of a Redis hash that holds the event time of one view."""
    return f"_ts:{view}".encode()


def float_lists(vectors: NDArray[np.float32]) -> list[bytes]:
    """Serialize each row of (n, d), d at least 1, as a Value that holds a list of floats."""
    n, d = vectors.shape
    packed = _PACKED_FLOATS_TAG + _varint(4 * d)
    head = _FLOAT_LIST_TAG + _varint(len(packed) + 4 * d) + packed
    message = np.empty((n, len(head) + 4 * d), np.uint8)
    message[:, : len(head)] = np.frombuffer(head, np.uint8)
    message[:, len(head) :] = np.ascontiguousarray(vectors, "<f4").view(np.uint8)
    return _rows(message.tobytes(), message.shape[1])


def timestamps(event_us: NDArray[np.int64]) -> list[bytes]:
    """Serialize microseconds since the epoch as protobuf Timestamps. Zero fields are left out, as protobuf does."""
    seconds, micros = np.divmod(event_us.astype(np.int64), _MICROS)
    parts = [_varint_fields(_SECONDS_TAG, seconds.view(np.uint64)), _varint_fields(_NANOS_TAG, micros * 1000)]
    message = np.concatenate([part for part, _ in parts], axis=1)
    used = np.concatenate([mask for _, mask in parts], axis=1)
    data = message[used].tobytes()
    ends = np.cumsum(used.sum(axis=1)).tolist()
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _ids(column: Values) -> list[bytes]:
    if np.issubdtype(column.dtype, np.integer):
        ids = np.empty(len(column), _INT64_ID)
        ids["type"], ids["size"], ids["value"] = _INT64, 8, column
        return _rows(ids.tobytes(), _INT64_ID.itemsize)
    return [_with_header(value.encode()) for value in column.tolist()]


def _with_header(text: bytes) -> bytes:
    return _HEADER.pack(_STRING, len(text)) + text


def _rows(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def _varint(value: int) -> bytes:
    out = bytearray()
    while more := value >> 7:
        out.append(value & 0x7F | 0x80)
        value = more
    out.append(value)
    return bytes(out)


def _varint_fields(tag: int, values: NDArray[np.generic]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return each value's varint field, padded (n, 11), and a mask of the bytes that belong to the message."""
    groups = values.astype(np.uint64)[:, None] >> (7 * np.arange(10, dtype=np.uint64))  # (n, 10)
    used = groups != 0
    more = np.zeros_like(used)
    more[:, :-1] = used[:, 1:]
    message = np.empty((len(values), 11), np.uint8)
    message[:, 0] = tag
    message[:, 1:] = (groups & np.uint64(0x7F)) | (more.astype(np.uint64) << np.uint64(7))
    return message, np.concatenate([used[:, :1], used], axis=1)

"""Feast's wire bytes, a batch at a time: entity keys, Redis fields, timestamps and vectors, the last two both ways.

In: columns of ids, event times, vectors. Out: lists of bytes, equal to what Feast 0.67 itself writes (golden tests hold
the two together); and back. Knows no store. Neither Feast nor protobuf is imported: it costs 4 s and 400 MB a process.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

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
_MORE = np.uint8(0x80)  # of a varint's byte: another one follows


def entity_keys(series: Mapping[str, Values]) -> list[bytes]:
    """Serialize the n entities whose id columns are given. Feast sorts join keys by name, whatever their order here."""
    names = sorted(series)
    prefix = entity_prefix(names)
    keys = _ids(series[names[0]])
    if len(names) == 1:
        return [prefix + key for key in keys]
    others = [_ids(series[name]) for name in names[1:]]
    return [prefix + b"".join(ids) for ids in zip(keys, *others, strict=True)]


def entity_prefix(names: Sequence[str]) -> bytes:
    """Return how the keys of all entities with these id columns begin."""
    ordered = sorted(names)
    return struct.pack("<I", len(ordered)) + b"".join(_with_header(name.encode()) for name in ordered)


def read_entity_keys(keys: Sequence[bytes], names: Sequence[str]) -> dict[str, list[str | int]]:
    """Return the n ids of each column from n keys that `entity_keys` has serialized. Raises `ValueError` for others."""
    prefix, ordered = entity_prefix(names), sorted(names)
    columns: dict[str, list[str | int]] = {name: [] for name in ordered}
    for key in keys:
        for name, value in zip(ordered, _read_ids(key, prefix, len(ordered)), strict=True):
            columns[name].append(value)
    return {name: columns[name] for name in names}


def only_entity_keys(keys: Iterable[bytes], names: Sequence[str]) -> list[bytes]:
    """Return those that are the whole key of an entity with these id columns."""
    prefix, count = entity_prefix(names), len(names)

    def is_one(key: bytes) -> bool:
        try:
            _read_ids(key, prefix, count)
        except ValueError:
            return False
        return True

    return list(filter(is_one, keys))


def redis_field(view: str, feature: str) -> bytes:
    """Name the field of a Redis hash that holds one feature of one view."""
    return mmh3.hash(f"{view}:{feature}", signed=False).to_bytes(4, "little")


def timestamp_field(view: str) -> bytes:
    """Name the field of a Redis hash that holds the event time of one view."""
    return f"_ts:{view}".encode()


def float_lists(vectors: NDArray[np.float32]) -> list[bytes]:
    """Serialize each row of (n, d), d at least 1, as a Value that holds a list of floats."""
    n, d = vectors.shape
    head = _float_list_head(d)
    message = np.empty((n, len(head) + 4 * d), np.uint8)
    message[:, : len(head)] = np.frombuffer(head, np.uint8)
    message[:, len(head) :] = np.ascontiguousarray(vectors, "<f4").view(np.uint8)
    return _rows(message.tobytes(), message.shape[1])


def read_float_lists(values: Sequence[bytes], d: int) -> NDArray[np.float32] | None:
    """Return (n, d) from n of what `float_lists` has serialized; None where one of them is anything else."""
    head = _float_list_head(d)
    size = len(head) + 4 * d
    if set(map(len, values)) - {size}:
        return None
    message = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), size)
    if (message[:, : len(head)] != np.frombuffer(head, np.uint8)).any():
        return None
    return np.ascontiguousarray(message[:, len(head) :]).view("<f4").astype(np.float32, copy=False)


def timestamps(event_us: NDArray[np.int64]) -> list[bytes]:
    """Serialize microseconds since the epoch as protobuf Timestamps. Zero fields are left out, as protobuf does."""
    seconds, micros = np.divmod(event_us.astype(np.int64), _MICROS)
    parts = [_varint_fields(_SECONDS_TAG, seconds.view(np.uint64)), _varint_fields(_NANOS_TAG, micros * 1000)]
    message = np.concatenate([part for part, _ in parts], axis=1)
    used = np.concatenate([mask for _, mask in parts], axis=1)
    data = message[used].tobytes()
    ends = np.cumsum(used.sum(axis=1)).tolist()
    return [data[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def read_timestamps(values: Sequence[bytes]) -> NDArray[np.int64]:
    """Return microseconds since the epoch from serialized protobuf Timestamps; what is finer is cut off."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    widest = int(lengths.max(initial=0))
    message = np.zeros((len(values), widest + 12), np.uint8)  # so that a varint may begin at the end
    message[np.arange(message.shape[1]) < lengths[:, None]] = np.frombuffer(b"".join(values), np.uint8)
    seconds, end = _read_varint_field(message, np.zeros(len(values), np.int64), _SECONDS_TAG)
    nanos, _ = _read_varint_field(message, end, _NANOS_TAG)
    return seconds * _MICROS + nanos // 1000


def _ids(column: Values) -> list[bytes]:
    if np.issubdtype(column.dtype, np.integer):
        ids = np.empty(len(column), _INT64_ID)
        ids["type"], ids["size"], ids["value"] = _INT64, 8, column
        return _rows(ids.tobytes(), _INT64_ID.itemsize)
    return [_with_header(value.encode()) for value in column.tolist()]


def _read_ids(key: bytes, prefix: bytes, count: int) -> list[str | int]:
    if not key.startswith(prefix):
        message = "expected the key of an entity with these ids"
        raise ValueError(message)
    at, values = len(prefix), []
    for _ in range(count):
        value, at = _read_id(key, at)
        values.append(value)
    if at != len(key):
        message = f"expected a key of {at} bytes, found {len(key)}"
        raise ValueError(message)
    return values


def _read_id(key: bytes, at: int) -> tuple[str | int, int]:
    if len(key) < at + _HEADER.size:
        message = "expected an id, found the end of the key"
        raise ValueError(message)
    kind, size = _HEADER.unpack_from(key, at)
    begin, end = at + _HEADER.size, at + _HEADER.size + size
    if end > len(key) or kind not in (_STRING, _INT64):
        message = f"expected a text or a 64-bit integer within {len(key)} bytes, found type {kind} up to {end}"
        raise ValueError(message)
    value = key[begin:end]
    return (value.decode() if kind == _STRING else int.from_bytes(value, "little", signed=True)), end


def _with_header(text: bytes) -> bytes:
    return _HEADER.pack(_STRING, len(text)) + text


def _rows(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def _float_list_head(d: int) -> bytes:
    packed = _PACKED_FLOATS_TAG + _varint(4 * d)
    return _FLOAT_LIST_TAG + _varint(len(packed) + 4 * d) + packed


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


def _read_varint_field(
    message: NDArray[np.uint8], at: NDArray[np.int64], tag: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the varint of each row that begins at `at` with this tag, else 0, and where the next field begins."""
    rows = np.arange(len(message))
    is_there = message[rows, at] == tag
    groups = message[rows[:, None], at[:, None] + 1 + np.arange(10)]  # (n, 10)
    used = np.ones_like(groups, np.bool_)
    used[:, 1:] = np.logical_and.accumulate((groups[:, :-1] & _MORE) != 0, axis=1)
    bits = (groups & 0x7F).astype(np.uint64) << (7 * np.arange(10, dtype=np.uint64))
    value = np.where(used & is_there[:, None], bits, np.uint64(0)).sum(axis=1, dtype=np.uint64).view(np.int64)
    return value, at + np.where(is_there, 1 + used.sum(axis=1), 0)

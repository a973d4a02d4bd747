"""One Arrow IPC message as a record batch that can be trusted: its bytes are looked at before Arrow reads them.

In: the bytes of one IPC stream. Out: its only record batch, validated in full, or why there is none. Knows no windows.

Arrow checks that lengths fit the bytes, but three things let a small message claim any amount of memory, and one lets
it do worse: compressed buffers name their own size, columns without bytes have any number of rows, strings that are
written once are used many times; and an extension type that some library registered (Ray has such) may run code.
"""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a

from undertow.schemas.json_faults import WindowFault
from undertow.schemas.lookalikes import looks_like

GROWTH = 64
"""Strings may take so many times the bytes of the message once each has its own copy."""
_MOST_MESSAGES = 64  # a schema, the dictionaries, and one record batch
_LONGEST_WORDS = 200  # of Arrow's errors, which may quote the bytes
_EXTENSION = b"ARROW:extension"
_SLOT = struct.Struct("<H")
_OFFSET = struct.Struct("<I")
_BACK = struct.Struct("<i")
# Places of fields in the FlatBuffers tables of Arrow's format/Message.fbs.
_MESSAGE_HEADER, _DICTIONARY_DATA, _BATCH_COMPRESSION = 2, 1, 3


def read_batch(value: bytes, plain: pa.Schema | None = None) -> pa.RecordBatch | WindowFault:
    """Return the only record batch of a stream. Never raises for what the bytes are.

    `plain` is a schema known to have good names and no strings that are written once and used many times: for a batch
    of it neither is looked for.
    """
    try:
        _look_before_reading(value)
        with pa.ipc.open_stream(value) as stream:
            batch = stream.read_next_batch()
        is_plain = plain is not None and batch.schema.equals(plain)
        _look_at_all(batch, len(value), has_good_names=is_plain)
        grown = 0 if is_plain else sum(_text_bytes(column) for column in batch.columns)
    except (pa.ArrowException, ValueError, OSError, struct.error, IndexError, EOFError) as error:
        said = str(error).splitlines() or [type(error).__name__]
        words = f"expected an Arrow IPC stream of one plain record batch, found {said[0][:_LONGEST_WORDS]}"
        return "not-arrow", words + looks_like(value, "arrow")
    except KeyError as error:  # some types of Arrow have no class in pyarrow, and it raises what its look-up raised
        return "not-arrow", f"expected columns of types that pyarrow knows, found type {error}"
    if grown > GROWTH * len(value):
        return "too-large", f"expected strings of at most {GROWTH} times the record's {len(value)} bytes, found {grown}"
    return batch


def _look_before_reading(value: bytes) -> None:
    """Raise `ValueError` for a stream that is not to be handed to Arrow's reader."""
    batches = 0
    for number, message in enumerate(pa.ipc.MessageReader.open_stream(value)):
        metadata = message.metadata.to_pybytes()
        found = ""
        if number >= _MOST_MESSAGES:
            found = f"more than {_MOST_MESSAGES} messages"
        elif _EXTENSION in metadata:
            found = "an extension type"
        elif message.type != "schema" and _is_compressed(metadata, message.type):
            found = "compressed buffers (let Kafka compress instead: the producer's compression.type)"
        if found:
            raise ValueError(found)
        batches += message.type == "record batch"
    if batches != 1:
        found = f"{batches} record batches"
        raise ValueError(found)


def _look_at_all(batch: pa.RecordBatch, size: int, *, has_good_names: bool) -> None:
    """Raise where names, offsets, indices, texts or the number of rows cannot be."""
    # `validate` lets names and zones pass that are no UTF-8, and to look at such a one raises.
    if not has_good_names and "\ufffd" in batch.schema.to_string(show_field_metadata=False, show_schema_metadata=False):
        found = "names that are no UTF-8"
        raise ValueError(found)
    if batch.num_rows > size:
        found = f"{batch.num_rows} rows in {size} bytes"
        raise ValueError(found)
    batch.validate(full=True)


def _is_compressed(metadata: bytes, kind: str) -> bool:
    """Whether a record batch or a dictionary says that its buffers are compressed."""
    root = _OFFSET.unpack_from(metadata)[0]
    table = _follow(metadata, root, _MESSAGE_HEADER)
    if kind == "dictionary":
        table = _follow(metadata, table, _DICTIONARY_DATA)
    return bool(_place(metadata, table, _BATCH_COMPRESSION))


def _follow(metadata: bytes, table: int, field: int) -> int:
    """Return where the table begins that a field of a table holds."""
    place = table + _place(metadata, table, field)
    return place + int(_OFFSET.unpack_from(metadata, place)[0])


def _place(metadata: bytes, table: int, field: int) -> int:
    """Return where in a table a field lies, 0 where it is absent."""
    slots = table - _BACK.unpack_from(metadata, table)[0]
    slot = 2 * _SLOT.size + field * _SLOT.size
    return int(_SLOT.unpack_from(metadata, slots + slot)[0]) if slot < _SLOT.unpack_from(metadata, slots)[0] else 0


def _text_bytes(array: Any) -> int:
    """Return how many bytes the strings take that are written once and used many times, once each has its own copy."""
    kind = array.type
    if is_a.is_struct(kind):
        return sum(_text_bytes(inner) for inner in array.flatten())
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return _text_bytes(array.values)
    if is_a.is_dictionary(kind):
        return len(array) * _longest(array.dictionary)
    return sum(_view_lengths(array)) if is_a.is_string_view(kind) else 0


def _longest(texts: Any) -> int:
    """Return the bytes of the longest text, 0 for what is none: no column of a window, so nobody reads it."""
    if is_a.is_string_view(texts.type):
        return max(_view_lengths(texts), default=0)
    is_text = is_a.is_string(texts.type) or is_a.is_large_string(texts.type)
    return int(pc.max(pc.binary_length(texts)).as_py() or 0) if is_text else 0


def _view_lengths(views: Any) -> list[int]:
    """Return the lengths of strings as their views say; Arrow has no kernel for it."""
    buffer = views.buffers()[1]
    if buffer is None:
        return []
    held = np.frombuffer(buffer, np.int32)[::4][views.offset : views.offset + len(views)]
    lengths: list[int] = np.where(views.is_valid().to_numpy(zero_copy_only=False), held, 0).tolist()
    return lengths

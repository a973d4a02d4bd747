"""Read an Arrow IPC stream from an untrusted producer: its bytes are checked before Arrow reads them.

In: the bytes of one IPC stream. Out: its only record batch, fully validated, or why there is none. Knows no windows.

Arrow checks that lengths fit the bytes, but a small message can still claim any amount of memory in three ways:
compressed buffers declare their own size, columns without bytes have any number of rows, and dictionary-encoded strings
are stored once and used many times. Worse, an extension type that a library registered (Ray does) may run code.
"""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a

from undertow.schemas.lookalikes import looks_like
from undertow.schemas.window_faults import WindowFault

GROWTH = 64
"""How many times the message's bytes its strings may take once dictionaries are expanded. A choice."""
_MOST_MESSAGES = 64  # a schema, the dictionaries, and one record batch
_LONGEST_WORDS = 200  # of Arrow's errors, which may quote the bytes
_EXTENSION = b"ARROW:extension"
_SLOT = struct.Struct("<H")
_OFFSET = struct.Struct("<I")
_BACK = struct.Struct("<i")
# Indices of fields in the FlatBuffers tables of Arrow's format/Message.fbs.
_MESSAGE_HEADER, _DICTIONARY_DATA, _BATCH_COMPRESSION = 2, 1, 3


def read_batch(value: bytes, plain: pa.Schema | None = None) -> pa.RecordBatch | WindowFault:
    """Return the only record batch of a stream, or why there is none. Never raises, whatever the bytes are.

    `plain` is a schema known to have valid names and no dictionaries: for a batch of that schema, these checks are
    skipped.
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
    except KeyError as error:  # pyarrow's own lookup raises it for types of Arrow that it does not know
        return "not-arrow", f"expected columns of types that pyarrow knows, found type {error}"
    if grown > GROWTH * len(value):
        return "too-large", f"expected strings of at most {GROWTH} times the record's {len(value)} bytes, found {grown}"
    return batch


def _look_before_reading(value: bytes) -> None:
    """Raise `ValueError` for a stream that must not be given to Arrow's reader."""
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
    """Validate names, offsets, indices, texts and the number of rows; raise if one is invalid."""
    # `validate` accepts names and zones that are not UTF-8, but reading one raises.
    if not has_good_names and "\ufffd" in batch.schema.to_string(show_field_metadata=False, show_schema_metadata=False):
        found = "names that are no UTF-8"
        raise ValueError(found)
    if batch.num_rows > size:
        found = f"{batch.num_rows} rows in {size} bytes"
        raise ValueError(found)
    batch.validate(full=True)


def _is_compressed(metadata: bytes, kind: str) -> bool:
    """Whether a record batch or a dictionary declares compressed buffers."""
    root = _OFFSET.unpack_from(metadata)[0]
    table = _follow(metadata, root, _MESSAGE_HEADER)
    if kind == "dictionary":
        table = _follow(metadata, table, _DICTIONARY_DATA)
    return bool(_place(metadata, table, _BATCH_COMPRESSION))


def _follow(metadata: bytes, table: int, field: int) -> int:
    """Return the position of the table to which a table's field refers."""
    place = table + _place(metadata, table, field)
    return place + int(_OFFSET.unpack_from(metadata, place)[0])


def _place(metadata: bytes, table: int, field: int) -> int:
    """Return the position of a table's field, 0 if it is absent."""
    slots = table - _BACK.unpack_from(metadata, table)[0]
    slot = 2 * _SLOT.size + field * _SLOT.size
    return int(_SLOT.unpack_from(metadata, slots + slot)[0]) if slot < _SLOT.unpack_from(metadata, slots)[0] else 0


def _text_bytes(array: Any) -> int:
    """Return how many bytes dictionary-encoded strings and views take when expanded."""
    kind = array.type
    if is_a.is_struct(kind):
        return sum(_text_bytes(inner) for inner in array.flatten())
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return _text_bytes(array.values)
    if is_a.is_dictionary(kind):
        return len(array) * _longest(array.dictionary)
    return sum(_view_lengths(array)) if is_a.is_string_view(kind) else 0


def _longest(texts: Any) -> int:
    """Return the bytes of the longest text, 0 for other types: no column of a window has them, so they are not read."""
    if is_a.is_string_view(texts.type):
        return max(_view_lengths(texts), default=0)
    is_text = is_a.is_string(texts.type) or is_a.is_large_string(texts.type)
    return int(pc.max(pc.binary_length(texts)).as_py() or 0) if is_text else 0


def _view_lengths(views: Any) -> list[int]:
    """Return the lengths of strings from their views; Arrow has no kernel for that."""
    buffer = views.buffers()[1]
    if buffer is None:
        return []
    held = np.frombuffer(buffer, np.int32)[::4][views.offset : views.offset + len(views)]
    lengths: list[int] = np.where(views.is_valid().to_numpy(zero_copy_only=False), held, 0).tolist()
    return lengths

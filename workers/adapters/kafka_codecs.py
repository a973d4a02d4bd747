"""Decompress Kafka's batches up to a limit, as a defence against decompression bombs.

In: the bytes of one compressed batch, a limit. Out: the decompressed bytes. Knows nothing of records.

kafka-python decompresses a batch whole, however large it is: a few kilobytes of zeros can become gigabytes.
"""

import zlib
from collections.abc import Callable, Iterator

from undertow.core.errors import Refused

PIECE_BYTES = 1 << 20
"""Decompressed at a time, so that no codec allocates memory for more than there is."""
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""Indexed by the number in a batch's attributes; a topic's `compression.type` has the same names."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


class TooLargeError(Exception):
    """The decompressed bytes exceed the limit."""


class DamagedError(Exception):
    """The bytes are corrupt."""


def require_codec(name: str, *, of: str) -> None:
    """Raise `Refused` where the package of a codec is not installed; other names are ignored."""
    if (loaded := _LOADS.get(name)) is not None:
        try:
            loaded()
        except ImportError as error:
            message = (
                f"{of} is compressed with {name}, and the package that unpacks it is not installed ({error}): "
                f"pip install 'kafka-python[{name}]'"
            )
            raise Refused(message) from error


def unpack(codec: int, data: memoryview, limit: int) -> bytes:
    """Decompress. Raises `TooLargeError`, `DamagedError`, and `Refused` where a package is missing."""
    if not 0 < codec < len(CODECS):
        message = f"expected a codec from 1 to {len(CODECS) - 1} ({', '.join(CODECS[1:])}), found {codec}"
        raise DamagedError(message)
    name = CODECS[codec]
    require_codec(name, of="a batch of records")
    out = bytearray()
    try:
        for piece in _PIECES[name](data, limit):
            out += piece
            if len(out) > limit:
                break
    except (TooLargeError, DamagedError, MemoryError):
        raise
    except Exception as error:  # codecs raise errors of any kind for corrupt bytes
        message = f"the {name} of the batch is damaged: {type(error).__name__}: {error}"
        raise DamagedError(message) from error
    if len(out) > limit:
        raise TooLargeError
    return bytes(out)


def _gzip(data: memoryview, _limit: int) -> Iterator[bytes]:
    rest = bytes(data)
    while rest:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            piece = member.decompress(rest, PIECE_BYTES)
            rest = member.unconsumed_tail
            if not (piece or rest or member.eof):
                message = "the gzip of the batch ends before its end"
                raise DamagedError(message)
            yield piece
        rest = member.unused_data.lstrip(b"\0")  # a member may be padded


def _lz4(data: memoryview, _limit: int) -> Iterator[bytes]:
    from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415 which may be missing

    rest = bytes(data)
    while rest:
        frame = LZ4FrameDecompressor()
        piece = frame.decompress(rest, PIECE_BYTES)
        yield piece
        while not frame.eof:
            if frame.needs_input and not piece:
                message = "the lz4 of the batch ends before its end"
                raise DamagedError(message)
            piece = frame.decompress(b"", PIECE_BYTES)
            yield piece
        rest = frame.unused_data or b""


def _zstd(data: memoryview, _limit: int) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 which may be missing

    # Its default refuses a frame that asks for a window of more than 128 MB.
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        while piece := reader.read(PIECE_BYTES):
            yield piece


def _snappy(data: memoryview, limit: int) -> Iterator[bytes]:
    import snappy  # noqa: PLC0415 which may be missing

    left = limit
    for block in _snappy_blocks(data):
        # A block begins with its decompressed size, and the codec allocates as much.
        if (left := left - _varint(block)) < 0:
            raise TooLargeError
        yield snappy.decompress(block)


def _snappy_blocks(data: memoryview) -> Iterator[bytes]:
    """Yield the blocks of a stream with the framing of Java's producers, or the single block of an unframed one."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        yield bytes(data)
        return
    place = _XERIAL_HEADER_BYTES
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        place += 4 + size
        if place > len(data):
            message = f"the snappy of the batch ends within a block of {size} bytes"
            raise DamagedError(message)
        yield bytes(data[place - size : place])


def _varint(block: bytes) -> int:
    """Return the varint at the start of the bytes: seven bits in each, the lowest first."""
    value = 0
    for place, byte in enumerate(block[:5]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 the eighth bit says that more follow
            return value
    message = "a snappy block does not begin with its size"
    raise DamagedError(message)


def _load_lz4() -> None:
    import lz4.frame  # noqa: F401, PLC0415


def _load_snappy() -> None:
    import snappy  # noqa: F401, PLC0415


def _load_zstd() -> None:
    import zstandard  # noqa: F401, PLC0415


_LOADS: dict[str, Callable[[], None]] = {"lz4": _load_lz4, "snappy": _load_snappy, "zstd": _load_zstd}
_PIECES: dict[str, Callable[[memoryview, int], Iterator[bytes]]] = {
    "gzip": _gzip,
    "lz4": _lz4,
    "snappy": _snappy,
    "zstd": _zstd,
}

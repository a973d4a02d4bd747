"""Recognise files that torch cannot have written, so that nobody is asked to trust them.

In: the bytes of a file. Out: what it is, in words, or None for a pickle, alone or in a zip as torch.save writes it.
Knows no model, unpickles nothing.
"""

import io
import pickletools
import tomllib
import zipfile
from pathlib import Path

from undertow.core.errors import Refused

TOML = ".toml"
_PICKLE = b"\x80"
"""The first byte of a pickle since protocol 2."""
_ZIP = b"PK\x03\x04"
_MAGIC = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89PNG\r\n", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a file packed by gzip"),
    (b"\x28\xb5\x2f\xfd", "a file packed by zstd"),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes it"),
    (b"SQLite format 3\0", "a database of SQLite"),
    (b"\x93NUMPY", "an array of NumPy"),
)
_LENGTH_BYTES = 8  # of a safetensors file: how long its header is, which is JSON


def refuse_other_kinds(path: Path, content: bytes) -> None:
    """Raise `Refused` for a file that is no checkpoint of any kind."""
    if (found := find_kind(content)) is not None:
        message = (
            f"expected in {path} a checkpoint that Trainer.save_checkpoint wrote of a pytorch-forecasting model, or a "
            f"description of any other model in a file whose name ends in {TOML}; found {found}"
        )
        raise Refused(message)


def find_kind(content: bytes) -> str | None:
    """Return what the file is, None where torch.save or pickle may have written it."""
    if not content:
        return "an empty file"
    if content.startswith(_ZIP):
        return _zip_kind(content)
    if content.startswith(_PICKLE):
        return None
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return kind
    if _is_safetensors(content):
        return (
            'a safetensors file, which holds weights alone: a TOML names it (weights = "...") beside the class of the '
            "model (examples: tests/seed)"
        )
    return None if _is_old_pickle(content) else _text_kind(content)


def _zip_kind(content: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError):
        return "a zip archive, as torch.save writes one, that is cut off or damaged: copy it again"
    is_torch = any(name.endswith("data.pkl") for name in names)
    return None if is_torch else f"a zip archive without a model (it begins with {names[0] if names else 'nothing'!r})"


def _is_safetensors(content: bytes) -> bool:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    return content[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{" and length <= len(content) - _LENGTH_BYTES


def _is_old_pickle(content: bytes) -> bool:
    """Whether it is a pickle of protocol 0 or 1, which has no mark of its own: its opcodes are read, none is run."""
    try:
        for _opcode, _argument, place in pickletools.genops(content):
            end = place
    except Exception:  # noqa: BLE001 - what is no pickle may make it raise anything
        return False
    return end is not None and 0 < end == len(content.rstrip()) - 1


def _text_kind(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "bytes of no kind that is known here"
    if not text.isprintable() and any(ord(sign) < ord(" ") and sign not in "\t\n\r\f" for sign in text):
        return "bytes of no kind that is known here"
    try:
        described = tomllib.loads(text).keys() >= {"class", "weights"}
    except (ValueError, RecursionError):
        described = False
    return f"a description in TOML: let its name end in {TOML}" if described else "a text"

"""Recognise files that are no checkpoint of pytorch-forecasting, and say how to pack the network in them.

In: the bytes of a file, or its content if that was safe to read. Out: a sentence. Knows no model, unpickles nothing.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from undertow.core.errors import Refused

POINTER = b"version https://git-lfs.github.com/spec/"
LIBRARIES = {b"darts": "darts", b"neuralforecast": "neuralforecast", b"gluonts": "GluonTS"}
_NAMED = re.compile(rb"(?:c|\W)(darts|neuralforecast|gluonts)\.[a-z]")
"""How a class's path begins in a pickle; `c` is the opcode of a class."""
KEYS = {
    "darts": {"model_dtype", "train_sample_shape"},
    "neuralforecast": {"hyper_parameters.h", "hyper_parameters.input_size"},
    "GluonTS": {"hyper_parameters.model_kwargs"},
}
"""Keys by which a checkpoint of such a library is recognised if it names no class."""
SHOWN = 6


def refuse_pointer(path: Path, content: bytes) -> None:
    """Raise `Refused` for a pointer that Git LFS leaves in place of a file it did not fetch."""
    if content.startswith(POINTER):
        size = re.search(rb"^size (\d+)$", content, re.MULTILINE)
        stands_for = f"a file of {int(size[1]):,} bytes" if size else "the file"
        message = f"{path} is a pointer of Git LFS that stands for {stands_for}; fetch it: git lfs pull"
        raise Refused(message)


def describe_file(content: bytes, data: Any = None) -> str:
    """Describe the file: the library of its model, its kind, or its keys. `data` is its content, if safe to read."""
    if whose := of_library(content, data):
        return whose
    if isinstance(data, Mapping):
        if data and all(isinstance(value, Tensor) for value in data.values()):
            return f"a bare state_dict of {len(data)} tensors"
        keys = list(map(str, data))
        return f"a dict of {', '.join(keys[:SHOWN])}" + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")
    return f"a {type(data).__name__}"


def how_instead(path: Path) -> str:
    """Say how to pack any network."""
    return (
        "any network is packed as a plain module: its class, or one of yours around it that takes the windows as one "
        f'tensor (n, t, c), stands in a TOML with class = "package.module:Name", weights = "{path.name}" and [input] '
        "columns and max_length; then: undertow pack model.toml --code package (examples: tests/seed)"
    )


def of_library(content: bytes, data: Any = None) -> str | None:
    """Name the library of the model, if it is a known one. Unpickles nothing."""
    if named := _NAMED.search(_pickle_of(content)):
        return f"a model of {LIBRARIES[named[1]]}"
    if not isinstance(data, Mapping):
        return None
    kept = data.get("hyper_parameters")
    keys = {*map(str, data), *(f"hyper_parameters.{key}" for key in (kept if isinstance(kept, Mapping) else ()))}
    return next((f"a model of {library}" for library, known in KEYS.items() if known <= keys), None)


def first_line(error: BaseException) -> str:
    """Return the first line of an error: torch's go on with advice that does not apply here."""
    return " ".join(str(error).split("\n", 1)[0].split())[:200]


def _pickle_of(content: bytes) -> bytes:
    """Return the pickle inside a file of `torch.save`, or the whole content of another file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return b"".join(map(archive.read, names))
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        return content

"""The weights of a plain module: a state_dict, read without running anything that stands in its file.

In: a module and the file. Out: the module filled, and the file's digest; or a refusal. Knows no artifact.
"""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from workers.core.errors import Refused

SAFETENSORS = ".safetensors"
SAVE = "torch.save(model.state_dict(), PATH)"
_GLOBAL = re.compile(r"GLOBAL (\S+)")


def fill(model: nn.Module, path: Path) -> str:
    """Load the weights in `path` into the model; return the SHA-256 of the file. Raises `Refused`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read the weights {path}: {error.strerror}; write them by {SAVE}"
        raise Refused(message) from error
    state = _read(path, content)
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            message = (
                f"expected weights in float32, found {tensor.dtype} in {name} of {path}; save them in full precision"
            )
            raise Refused(message)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        message = f"the weights in {path} do not fit {type(model).__name__} with its arguments: {error}"
        raise Refused(message) from error
    return hashlib.sha256(content).hexdigest()


def _read(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        if path.suffix == SAFETENSORS:
            return dict(safetensors.torch.load(content))
        data: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        # torch's own advice at this place is to read the file with weights_only=False, which runs what is in it.
        foreign = _GLOBAL.search(str(error))
        found = f"an object of {foreign[1]}" if foreign else f"{type(error).__name__} on reading it"
        message = f"expected in {path} a state_dict and nothing else, found {found}; write it by {SAVE}"
        raise Refused(message) from error
    if not isinstance(data, dict) or not all(isinstance(tensor, Tensor) for tensor in data.values()):
        found = f"a dict of {', '.join(map(str, data))}" if isinstance(data, dict) else f"a {type(data).__name__}"
        message = f"expected in {path} a state_dict, which maps names to tensors, found {found}; write it by {SAVE}"
        raise Refused(message)
    return data

"""Read the weights of a plain module: a state_dict, or a Lightning checkpoint, without running code in it.

In: a file, and a module. Out: `StateDictFile`; the module with its weights; or a refusal. Knows no artifact.
"""

import hashlib
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from undertow.artifact.pack.read.file_kinds import find_kind
from undertow.artifact.pack.read.origins import first_line, of_library, refuse_pointer
from undertow.core.errors import Refused

SAFETENSORS = ".safetensors"
SAVE = "torch.save(model.state_dict(), PATH)"
CHECKPOINTS = frozenset({"state_dict", "pytorch-lightning_version"}), frozenset({"state_dict", "hyper_parameters"})
"""Sets of keys that mark a checkpoint of Lightning, or of a library with the same layout."""
CHECKPOINT = ".ckpt"
SHOWN = 3
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_QUANTISED = re.compile(r"_packed_params|_all_weight_values|quantiz|torchao|ScriptObject", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StateDictFile:
    """The content of the file."""

    path: Path
    weights: Mapping[str, Tensor]
    digest: str
    """SHA-256 of the file."""
    hyperparameters: Mapping[str, Any] | None = None
    """What `save_hyperparameters` put into a Lightning checkpoint; None in a file of weights only."""
    argument: str | None = None
    """The name of the single argument that held all hyperparameters, if the class has such a one."""


def read_state(path: Path, *, trust: bool = False) -> StateDictFile:
    """Read the file. With `trust`, a Lightning checkpoint that holds objects is unpickled. Raises `Refused`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read the weights {path}: {error.strerror}; write them by {SAVE}"
        raise Refused(message) from error
    refuse_pointer(path, content)
    if path.suffix != SAFETENSORS and (kind := find_kind(content)) is not None:
        message = f"expected in {path} a state_dict and nothing else, found {kind}; write it by {SAVE}"
        raise Refused(message)
    data = _read(path, content, trust=trust)
    digest = hashlib.sha256(content).hexdigest()
    if not (isinstance(data, dict) and any(data.keys() >= keys for keys in CHECKPOINTS)):
        return StateDictFile(path=path, weights=_tensors(path, data), digest=digest)
    name, kept = data.get("hparams_name"), data.get("hyper_parameters")
    return StateDictFile(
        path=path,
        weights=_tensors(path, data["state_dict"]),
        digest=digest,
        hyperparameters=kept if isinstance(kept, Mapping) else {},
        argument=None if name == "kwargs" else name,
    )


def fill(model: nn.Module, state: StateDictFile) -> str | None:
    """Load the weights into the model; return a note if their names had to be changed. Raises `Refused`."""
    own = model.state_dict()
    weights, said = fit_names(state.weights, own.keys())
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            message = (
                f"expected weights in float32, found {tensor.dtype} in {name} of {state.path}; save them in full "
                "precision"
            )
            raise Refused(message)
        if tensor.is_quantized or (name in own and tensor.is_floating_point() != own[name].is_floating_point()):
            raise _quantised(state.path, f"{tensor.dtype} in {name}")
    missing, alien = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or alien:
        found = [f"no {_few(missing)}"] * bool(missing) + [f"{_few(alien)}, which it has not"] * bool(alien)
        message = (
            f"the weights in {state.path} do not fit {type(model).__name__} with its arguments: expected the keys of "
            f"model.state_dict(), found {' and '.join(found)}"
        )
        raise Refused(message)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        detail = " ".join(str(error).split())
        message = f"the weights in {state.path} do not fit {type(model).__name__} with its arguments: {detail}"
        raise Refused(message) from error
    return None if said is None else f"of the weights in {state.path.name}, {said}"


def fit_names(weights: Mapping[str, Tensor], expected: Collection[str]) -> tuple[Mapping[str, Tensor], str | None]:
    """Remove a wrapper's prefix from the names if that makes them the expected ones; return also a note of it."""
    names = set(expected)
    if weights.keys() == names:
        return weights, None
    stripped = [
        (wrappers, {".".join(one for one in key.split(".") if one not in wrappers): key for key in weights})
        for wrappers in (("_orig_mod",), ("module",), ("_orig_mod", "module"))
    ]
    for wrappers, bare in stripped:
        if bare.keys() == names and len(bare) == len(weights):
            put = " and ".join(f"{one}." for one in wrappers)
            said = f"{put} was taken off their names, which torch.compile or a parallel module puts there"
            return {name: weights[key] for name, key in bare.items()}, said
    for _, bare in stripped:
        for first in sorted({name.partition(".")[0] for name in bare}):
            start = f"{first}."
            under = {name.removeprefix(start): key for name, key in bare.items() if name.startswith(start)}
            if under.keys() == names:
                said = f"those under {start} were taken, {len(under)} of {len(weights)}"
                return {name: weights[key] for name, key in under.items()}, said
    return weights, None


def _read(path: Path, content: bytes, *, trust: bool) -> Any:
    try:
        if path.suffix == SAFETENSORS:
            return dict(safetensors.torch.load(content))
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        if trust and path.suffix == CHECKPOINT:
            return _unpickle(path, content)
        # Not torch's own message, which advises weights_only=False, by which the file's code would run.
        foreign = _GLOBAL.search(str(error))
        if _QUANTISED.search(str(error)):
            raise _quantised(path, "objects of a quantised module") from error
        found = f"an object of {foreign[1]}" if foreign else f"{type(error).__name__} on reading it"
        if whose := of_library(content):
            found = f"{whose} ({found})"
        message = f"expected in {path} a state_dict and nothing else, found {found}; write it by {SAVE}"
        if path.suffix == CHECKPOINT:
            message += ", or, if you trust who wrote this checkpoint, run its pickles once: --trust (trust=True)"
        raise Refused(message) from error


def _unpickle(path: Path, content: bytes) -> Any:
    try:
        data = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except Exception as error:
        message = f"{path} cannot be read: {type(error).__name__}: {first_line(error)}; write it by {SAVE}"
        raise Refused(message) from error
    if isinstance(data, nn.Module):
        message = f"expected in {path} a state_dict, found a {type(data).__name__} itself; write it by {SAVE}"
        raise Refused(message)
    return data


def _tensors(path: Path, data: Any) -> dict[str, Tensor]:
    if isinstance(data, dict) and all(isinstance(tensor, Tensor) for tensor in data.values()):
        return data
    if isinstance(data, dict) and any(_QUANTISED.search(str(key)) for key in data):
        raise _quantised(path, "the keys of a quantised module")
    found = f"a dict of {', '.join(map(str, data))}" if isinstance(data, dict) else f"a {type(data).__name__}"
    message = f"expected in {path} a state_dict, which maps names to tensors, found {found}; write it by {SAVE}"
    raise Refused(message)


def _quantised(path: Path, found: str) -> Refused:
    message = (
        f"expected in {path} weights in float32, found {found}: quantised modules are not taken; save the state_dict "
        "of the model before it was quantised (undertow pack --precision bfloat16 narrows a forward)"
    )
    return Refused(message)


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

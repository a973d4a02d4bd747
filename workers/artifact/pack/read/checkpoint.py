"""Read a Lightning checkpoint of a pytorch-forecasting model.

In: a checkpoint file, and whether it is trusted. Out: its weights, hyperparameters and data set parameters, and the
trained model. Knows nothing of taps or artifacts.
"""

import hashlib
import inspect
import io
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_forecasting import models
from torch import Tensor, nn

from undertow.artifact.format.allowed_code import package_of
from undertow.artifact.load.models import CLASSES, PACKAGE, model_class, quiet
from undertow.artifact.pack.read.file_kinds import refuse_other_kinds
from undertow.artifact.pack.read.origins import describe_file, first_line, how_instead, of_library, refuse_pointer
from undertow.artifact.pack.read.state import fit_names
from undertow.core.errors import Refused

NAMED = "--model-class package.module:Name --code package"
YOURS = f"or your own: {NAMED}"
EXPECTED = frozenset({"state_dict", "hyper_parameters", "dataset_parameters"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckpointFile:
    """The content of the file."""

    weights: Mapping[str, Tensor]
    hyperparameters: Mapping[str, Any]
    dataset_parameters: Mapping[str, Any]
    digest: str
    """SHA-256 of the file."""


def read_checkpoint(path: Path, *, trust: bool) -> CheckpointFile:
    """Unpickle the checkpoint. Raises `Refused` without `trust`, or if it is not one of pytorch-forecasting."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read the checkpoint {path}: {error.strerror}"
        raise Refused(message) from error
    refuse_pointer(path, content)
    refuse_other_kinds(path, content)
    data = _load_safely(content)  # a file without objects can be refused before asking for trust
    if data is None and not trust:
        message = (
            f"{path} holds pickles, and reading them runs whatever code their author put in: it can read, change or "
            "send away anything that you can. If you trained it or trust who did, say so: --trust (trust=True)"
        )
        raise Refused(message)
    if data is None:
        data = _unpickle(path, content)
    if not isinstance(data, dict) or not data.keys() >= EXPECTED or data["dataset_parameters"] is None:
        message = (
            f"expected in {path} a checkpoint that Trainer.save_checkpoint wrote of a pytorch-forecasting model made "
            f"with from_dataset ({', '.join(sorted(EXPECTED))}), found {describe_file(content, data)}; "
            f"{how_instead(path)}"
        )
        raise Refused(message)
    for key in EXPECTED:
        if not isinstance(data[key], Mapping):
            message = f"expected {key} in {path} to be a dict, found a {type(data[key]).__name__}"
            raise Refused(message)
    return CheckpointFile(
        weights=data["state_dict"],
        hyperparameters=data["hyper_parameters"],
        dataset_parameters=data["dataset_parameters"],
        digest=hashlib.sha256(content).hexdigest(),
    )


def _load_safely(content: bytes) -> Any:
    """Read a file that holds only tensors and plain data; return None for any other file."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's guesses about the file
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 - a damaged file may make torch raise anything
        return None


def _unpickle(path: Path, content: bytes) -> Any:
    try:
        # A pytorch-forecasting checkpoint holds pandas and sklearn objects, so `weights_only` cannot read it.
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except Exception as error:
        found = f"it is {whose}; {how_instead(path)}" if (whose := of_library(content)) else "it is no checkpoint"
        message = f"{path} cannot be read as a checkpoint ({type(error).__name__}: {first_line(error)}): {found}"
        raise Refused(message) from error


def restore(checkpoint: CheckpointFile, class_path: str | None = None, code: Collection[str] = ()) -> nn.Module:
    """Return the trained model, in eval mode.

    A checkpoint does not name its class: without `class_path`, it is the known class that fits its hyperparameters and
    weights. `code` are the packages from which `class_path` may be imported. Raises `Refused`.
    """
    if class_path is not None:
        return _restore(checkpoint, model_class(class_path, code))
    found: list[nn.Module] = []
    for name in CLASSES:
        cls = getattr(models, name)
        named = {
            one.name for one in inspect.signature(cls.__init__).parameters.values() if one.kind is not one.VAR_KEYWORD
        }
        if named - {"self"} <= checkpoint.hyperparameters.keys():
            try:
                found.append(_restore(checkpoint, cls))
            except Refused:
                continue
    if len(found) == 1:
        _refuse_derived(type(found[0]))
        return found[0]
    fits = ", ".join(type(model).__name__ for model in found) or "none"
    message = (
        f"a checkpoint does not name its model's class; of those known, {fits} fit its hyperparameters and weights. "
        f"Name it: --model-class {PACKAGE}RecurrentNetwork, for example (known: {', '.join(CLASSES)}), {YOURS}"
    )
    raise Refused(message)


def guessed_class(model: nn.Module) -> str:
    """Return the note that the class was guessed, since a class derived from it would fit as well."""
    return (
        f"a checkpoint does not name its class, so it is taken for {PACKAGE}{type(model).__name__} itself; if you "
        f"trained a class derived from it, whose forward may differ, name that: {NAMED}"
    )


def _refuse_derived(cls: type[nn.Module]) -> None:
    """Refuse to guess if this process has imported a class derived from it, which would fit as well."""
    derived = [
        f"{one.__module__}:{one.__name__}"
        for one in _derived(cls)
        if package_of(one.__module__) != package_of(PACKAGE)
        and getattr(sys.modules.get(one.__module__), one.__name__, None) is one
    ]
    if derived:
        message = (
            f"a checkpoint does not name its class, and {', '.join(derived)} is derived from the {cls.__name__} that "
            f"fits it; name what you trained: --model-class {PACKAGE}{cls.__name__}, {YOURS}"
        )
        raise Refused(message)


def _derived(cls: type[nn.Module]) -> Iterator[type[nn.Module]]:
    for one in cls.__subclasses__():
        yield one
        yield from _derived(one)


def _restore(checkpoint: CheckpointFile, cls: type[nn.Module]) -> nn.Module:
    try:
        with quiet():
            model = cls(**checkpoint.hyperparameters)
        model.load_state_dict(fit_names(checkpoint.weights, model.state_dict().keys())[0])
    except Exception as error:
        message = f"the checkpoint does not hold a {cls.__name__}: {type(error).__name__}: {error}"
        raise Refused(message) from error
    return model.eval()

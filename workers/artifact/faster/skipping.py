"""Skip the parts of a model on which no tap depends: modules do not run, weights take no memory.

In: a model and a `Pruning`. Out: the model, changed in place. Knows no tap and no file.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.format.pruning import OutputTemplate
from undertow.core.errors import Refused


def fill(model: nn.Module, weights: Mapping[str, Tensor], dropped: Sequence[str]) -> None:
    """Load the weights. Raises `RuntimeError` unless they are all of the model's except those `dropped`.

    A dropped tensor is replaced by a single NaN, expanded to its shape: if it matters after all, the vectors become NaN
    and are refused.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if unknown := set(dropped) - set(shapes):
        message = f"the model has no {', '.join(sorted(unknown))}, which the artifact leaves out"
        raise RuntimeError(message)
    empty = {name: torch.tensor(math.nan).expand(shapes[name]) for name in dropped}
    loaded = {name: tensor.clone() for name, tensor in weights.items()}  # tensors in a file are not aligned
    model.load_state_dict({**loaded, **empty}, assign=True)


def skip(model: nn.Module, skipped: Mapping[str, OutputTemplate], number: float = math.nan) -> None:
    """Let each module return an output of its template's shape, filled with `number`, instead of running.

    The default is NaN: if a skipped module matters after all, the vectors become NaN and are refused.
    """
    for path, output in skipped.items():
        try:
            module = model.get_submodule(path)
        except AttributeError as error:
            message = f"the artifact skips {path}, which {type(model).__name__} of these libraries does not have"
            raise Refused(message) from error
        module.forward = _Stub(output, number)


@contextmanager
def skipping(model: nn.Module, skipped: Mapping[str, OutputTemplate], number: float) -> Iterator[None]:
    """Skip the modules within the context."""
    skip(model, skipped, number)
    try:
        yield
    finally:
        for path in skipped:
            del model.get_submodule(path).forward


@dataclass(frozen=True, slots=True)
class _Stub:
    """Replaces a module's forward."""

    output: OutputTemplate
    number: float

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = list(tensors_of((args, kwargs)))
        return self._make(self.output, inputs)

    def _make(self, output: OutputTemplate, inputs: Sequence[Tensor]) -> Any:
        kind, content = next(iter(output.items()))
        if kind == "tensor":
            shape = [size if isinstance(size, int) else inputs[size[0]].shape[size[1]] for size in content]
            return torch.full(shape, self.number, dtype=torch.float32, device=inputs[0].device)
        if kind == "dict":
            return {key: self._make(value, inputs) for key, value in content.items()}
        made = [self._make(value, inputs) for value in content]
        return tuple(made) if kind == "tuple" else made


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts, in a fixed order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for key in value:
            yield from tensors_of(value[key])
    elif isinstance(value, tuple | list):
        for one in value:
            yield from tensors_of(one)

"""How the shape of a module's output depends on the shapes of its inputs.

In: some calls of a module. Out: a template of its output, or None if the calls show no rule. Knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from undertow.artifact.dry_runs.layouts import Shape
from undertow.artifact.format.pruning import OutputSize, OutputTemplate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModuleCall:
    """One call of a module."""

    inputs: tuple[Shape, ...]
    """Shapes of the tensors among its arguments."""
    output: Any


def find_template(calls: Sequence[ModuleCall]) -> OutputTemplate | None:
    """Return the template that fits all the outputs, or None."""
    return _find([seen.output for seen in calls], [seen.inputs for seen in calls])


def _find(outputs: Sequence[Any], inputs: Sequence[tuple[Shape, ...]]) -> OutputTemplate | None:
    first = outputs[0]
    if isinstance(first, Tensor):
        shapes = [tuple(one.shape) for one in outputs]
        if {one.dtype for one in outputs} != {torch.float32} or len({len(shape) for shape in shapes}) > 1:
            return None
        sizes = [_size(along, inputs) for along in zip(*shapes, strict=True)]
        return None if None in sizes else {"tensor": sizes}
    if {type(one) for one in outputs} == {dict}:
        if any(list(one) != list(first) for one in outputs) or not all(isinstance(key, str) for key in first):
            return None
        parts = {key: _find([one[key] for one in outputs], inputs) for key in first}
        return None if None in parts.values() else {"dict": parts}
    kinds = {type(one) for one in outputs}
    if kinds not in ({tuple}, {list}) or len({len(one) for one in outputs}) > 1:
        return None
    elements = [_find(list(along), inputs) for along in zip(*outputs, strict=True)]
    return None if None in elements else {type(first).__name__: elements}


def _size(along: Sequence[int], inputs: Sequence[tuple[Shape, ...]]) -> OutputSize | None:
    if len(set(along)) == 1:
        return along[0]
    shapes = inputs[0]
    for tensor, shape in enumerate(shapes):
        for axis in range(len(shape)):
            if [_at(given, tensor, axis) for given in inputs] == list(along):
                return [tensor, axis]
    return None


def _at(shapes: tuple[Shape, ...], tensor: int, axis: int) -> int | None:
    return shapes[tensor][axis] if tensor < len(shapes) and axis < len(shapes[tensor]) else None

"""Flatten a call's arguments to a list of tensors, which is all that native code takes, and rebuild them.

In: arguments. Out: their tensors and the structure around them, or the arguments again. Knows no module.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from undertow.artifact.format.parts import Arguments, CompiledPart
from undertow.core.returned import form_of


def flatten(value: Any, tensors: list[Tensor]) -> Arguments:
    """Append the tensors to the list; return the structure around them. Raises `TypeError` for other objects."""
    if isinstance(value, Tensor):
        tensors.append(plain(value))
        return {"tensor": None}
    if type(value) is dict:
        return {"dict": [[key, flatten(one, tensors)] for key, one in value.items()]}  # a list keeps the order
    if type(value) in {tuple, list}:
        return {type(value).__name__: [flatten(one, tensors) for one in value]}
    if value is None or type(value) in {bool, int, float, str}:
        return {"value": value}
    message = f"expected tensors and plain data, found a {type(value).__name__}"
    raise TypeError(message)


def rebuild(arguments: Arguments, tensors: Iterator[Tensor]) -> Any:
    """Undo `flatten`."""
    kind, content = next(iter(arguments.items()))
    if kind == "tensor":
        return next(tensors)
    if kind == "dict":
        return {key: rebuild(one, tensors) for key, one in content}
    if kind == "value":
        return content
    return (tuple if kind == "tuple" else list)(rebuild(one, tensors) for one in content)


def plain(tensor: Tensor) -> Tensor:
    """Return the tensor as compiled code reads it: contiguous, row by row.

    An axis made by `expand` (stride 0) is reduced to one element; code that does not broadcast it is not compiled.
    Raises `TypeError` for a nested or sparse tensor.
    """
    if (form := form_of(tensor)) is not None:
        message = f"expected tensors and plain data, found {form}"
        raise TypeError(message)
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and size > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor.contiguous()


def fits(tensors: Sequence[Tensor], part: CompiledPart) -> bool:
    """Whether the tensors have the dtypes and sizes for which the part was compiled."""
    found: dict[str, int] = {}
    return all(
        str(tensor.dtype) == dtype
        and tensor.ndim == len(sizes)
        and all(
            (size if isinstance(size, int) else found.setdefault(size, actual)) == actual
            for actual, size in zip(tensor.shape, sizes, strict=True)
        )
        for tensor, (dtype, sizes) in zip(tensors, part.tensors, strict=True)
    ) and all(found[name] >= part.least.get(name, 1) for name in found)

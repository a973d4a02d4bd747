"""Find the tensors in whatever a module returned.

In: the output of a module, of any type. Out: its tensors, each with the elements that select it. Knows neither hooks
nor models.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from undertow.core.errors import Refused
from undertow.core.features import Tap
from undertow.core.tap_texts import as_element

Elements = tuple[int | str, ...]


def unpack(value: Any) -> Any:
    """Return a `PackedSequence` as a padded (n, t, c), with 0 after each window's end, and anything else as it is.

    A packed sequence's own tensor interleaves the windows step by step.
    """
    return pad_packed_sequence(value, batch_first=True)[0] if isinstance(value, PackedSequence) else value


def form_of(tensor: Tensor) -> str | None:
    """Name the form of a tensor that cannot be pooled (nested, sparse); return None for a dense one."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"a {str(tensor.layout).removeprefix('torch.').replace('_', ' ')} tensor"
    return None


def leaves(output: Any, select: Elements = ()) -> Iterator[tuple[Elements, Tensor]]:
    """Yield every tensor in an output, dense or not."""
    output = unpack(output)
    if isinstance(output, Tensor):
        yield select, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from leaves(value, (*select, as_element(str(key))))
    elif isinstance(output, tuple | list):
        for index, value in enumerate(output):
            yield from leaves(value, (*select, index))


def tensors(output: Any) -> Iterator[tuple[Elements, Tensor]]:
    """Yield every dense tensor in an output."""
    return ((select, tensor) for select, tensor in leaves(output) if form_of(tensor) is None)


def pick(value: Any, element: int | str) -> Any:
    """Return an element of a tuple, a list or a dict, or None if there is none."""
    if isinstance(value, Mapping):
        keys = [key for key in value if key == element] or [key for key in value if as_element(str(key)) == element]
        return value[keys[0]] if keys else None
    try:
        return value[element]
    except (IndexError, KeyError, TypeError):
        return None


def select(tap: Tap, output: Any) -> Tensor:
    """Return the tensor that a tap selects. Raises `Refused` if there is none, or if it is nested or sparse."""
    value = output
    for element in tap.select:
        value = pick(value, element)
    value = unpack(value)
    while isinstance(value, tuple | list) and value:
        value = unpack(value[0])
    if isinstance(value, Tensor) and (form := form_of(value)) is None:
        return value
    if isinstance(value, Tensor):
        message = (
            f"the tap {tap} is {form}, which has no steps and channels to be pooled; tap a layer before or behind it "
            "(undertow taps)"
        )
        raise Refused(message)
    found = ", ".join(
        f"{Tap(path=tap.path, call=tap.call, select=elements)} {tuple(tensor.shape)}"
        for elements, tensor in tensors(output)
    )
    message = f"the tap {tap} selects no tensor; there is {found or f'none in a {type(output).__name__}'}"
    raise Refused(message)

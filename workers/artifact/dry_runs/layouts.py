"""Infer what the axes of a tensor mean, from how its shape changes with the number of windows and steps.

In: shapes seen in dry runs with several batch sizes and lengths. Out: a `Layout`, or a refusal. Knows no weights.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from undertow.core.errors import Refused
from undertow.core.features import Layout, Tap
from undertow.core.pooling import STEPPED
from undertow.core.taps import Call, list_taps
from undertow.schemas.contract import InputContract

PROBE, WIDER = 3, 4
"""Batch sizes of the dry runs: the axis that changes with them is the axis of the windows."""
CHANNELS_FIRST = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveAvgPool1d,
)
"""Modules whose output is (n, c, t) by definition."""
CHANNELS_LAST = (nn.RNNBase, nn.Linear)
"""Modules whose output is (..., c) by definition, even if there are as many channels as steps."""

Shape = tuple[int, ...]
Shapes = Mapping[tuple[str, int, tuple[int | str, ...]], Shape]
"""Shapes by module path, call, and the elements that select a tensor of the output."""


def find_layout(
    tap: Tap, shapes: Mapping[int, Shape], more: Shape, horizon: int, kind: type[nn.Module] = nn.Module
) -> Layout:
    """Infer a tensor's axes from its shapes.

    `shapes`: for `PROBE` windows, by width. `more`: for `WIDER` windows of the first width. `horizon`: the number of
    decoder steps. `kind`: the class of the module. Raises `Refused` if the windows or the steps cannot be told apart.
    """
    longest, base = next(iter(shapes.items()))
    axis, rows = _batch_axis(tap, base, more)
    folded = {width: _fold(shape, axis, rows) for width, shape in shapes.items()}
    sizes = list(zip(*folded.values(), strict=True))
    moving = [i for i, along in enumerate(sizes) if len(set(along)) > 1]
    if moving:
        extras = {size - width for width, size in zip(folded, sizes[moving[0]], strict=True)}
        if len(moving) == len(extras) == 1:
            return Layout(batch_axis=axis, rows=rows, time_axis=moving[0], steps=extras.pop(), size=0)
        found = ", ".join(f"{shape} for windows of {width} steps" for width, shape in shapes.items())
        message = (
            f"the tap {tap} has the shape {found}: its steps are not the window's, so padding cannot be told from "
            "data; train with one length, or choose another tap"
        )
        raise Refused(message)
    if len(sizes) < STEPPED:
        return Layout(batch_axis=axis, rows=rows, size=0)
    time = _steps_axis(folded[longest], rows, longest, kind)
    extra = sizes[time][0] - longest
    known = len(shapes) == 1 and extra in {0, -1, horizon}  # with one length only, nothing is ever padded
    return Layout(batch_axis=axis, rows=rows, time_axis=time, steps=extra if known else None, size=0)


def steps_axis(layout: Layout) -> int:
    """Return the axis of the steps in the module's own output."""
    if layout.rows > 1 and layout.time_axis == 1:
        return layout.batch_axis  # steps are folded into it
    axis = (layout.time_axis or 0) - (1 if layout.rows == 1 else 2)  # among the other axes
    return axis if axis < layout.batch_axis else axis + 1


def not_real(tensor: Tensor) -> str | None:
    """Say why a tensor's dtype cannot be embedded (float32 would lose half of a complex number); None if it can."""
    return None if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')}, no numbers to embed"


def other_widths(contract: InputContract) -> list[int]:
    """Return lengths below the longest for the dry runs, even if the contract allows only one length."""
    longest = contract.max_length
    least = contract.min_length if contract.min_length < longest else 2
    return sorted({longest - 1, (max(least, 2) + longest) // 2, max(least, 2)} - {longest, 0})


def shapes_seen(model: nn.Module, x: Any, call: Call | None) -> Shapes:
    """Run the model on inputs of another width; one made for a single length may fail, then what ran counts."""
    return {
        (path, number, select): tuple(tensor.shape)
        for info in list_taps(model, x, call, may_fail=True)
        for path in info.paths
        for number, one in enumerate(info.calls)
        for select, tensor in one.tensors
    }


def shape_at(tap: Tap, seen: Shapes) -> Shape | None:
    """Return the shape of the first tensor that the tap selects, or None if the model failed before."""
    depth = len(tap.select)
    found = (
        shape
        for (path, call, select), shape in seen.items()
        if (path, call, select[:depth]) == (tap.path, tap.call, tap.select)
    )
    return next(found, None)


def _steps_axis(shape: Shape, rows: int, longest: int, kind: type[nn.Module]) -> int:
    """Guess the axis of the steps if no other width can be run: by torch's conventions, and by its size."""
    first = 2 if rows > 1 and len(shape) > STEPPED else 1
    if issubclass(kind, CHANNELS_FIRST):
        return len(shape) - 1
    ends = len(shape) - issubclass(kind, CHANNELS_LAST)
    fits = [axis for axis in range(first, ends) if shape[axis] == longest]
    return fits[0] if len(fits) == 1 else first


def _batch_axis(tap: Tap, base: Shape, more: Shape) -> tuple[int, int]:
    """Return the axis that grows with the number of windows, and how many of its entries belong to each window."""
    moving = [i for i, sizes in enumerate(zip(base, more, strict=True)) if sizes[0] != sizes[1]]
    if len(moving) == 1 and base[moving[0]] * WIDER == more[moving[0]] * PROBE:
        return moving[0], base[moving[0]] // PROBE
    message = (
        f"the tap {tap} gives shape {base} for {PROBE} windows and {more} for {WIDER}: no axis has "
        "its entries for each window, so there is no hidden state of a window; choose another (undertow taps)"
    )
    raise Refused(message)


def _fold(shape: Shape, axis: int, rows: int) -> Shape:
    """Return the shape with the axis of the windows first, then that of their rows if there are several."""
    rest = (*shape[:axis], *shape[axis + 1 :])
    return (shape[axis], *rest) if rows == 1 else (shape[axis] // rows, rows, *rest)

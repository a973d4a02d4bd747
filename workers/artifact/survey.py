"""What can be tapped in a trained model: every layer that fires, seen in dry runs.

In: a trained model with its inputs. Out: a `Survey`: each tensor with its axes, its cost and, if so, why it cannot be
packed. Knows no file and no terminal.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from torch import Tensor, nn

from workers.artifact.layouts import PROBE, WIDER, Shape, find_layout, other_widths, shapes_seen
from workers.artifact.learn import make_inputs
from workers.artifact.trained import Trained
from workers.artifact.trial import try_out
from workers.core.errors import Refused
from workers.core.features import Layout, Tap
from workers.core.taps import find_module, list_taps, takes_hooks

TIMED_WINDOWS, TIMED_RUNS = 64, 5
RECURRENT = ("LSTM", "GRU", "RNN")
ACTIVATIONS = ("ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "GELU", "SiLU", "Softplus", "Tanh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One tensor that a tap can select."""

    tap: Tap
    shape: Shape
    """For `PROBE` windows of the longest length."""
    axes: str
    """The shape in words: n windows, t steps of the longest window, D decoder steps; numbers are channels."""
    layout: Layout | None
    reached: float
    """Cost of stopping there: share of the whole forward, the median of several on this machine."""
    obstacle: str | None
    """Why it cannot be packed."""

    @property
    def has_time(self) -> bool:
        """Whether it has an axis of steps."""
        return self.layout is not None and self.layout.time_axis is not None

    @property
    def is_masked(self) -> bool:
        """Whether its steps follow the window's, so that those of padding are left out."""
        return self.layout is not None and self.layout.steps is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One module that fired."""

    paths: tuple[str, ...]
    kind: str
    calls: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A whole model."""

    model: str
    layers: tuple[Layer, ...]
    silent: tuple[str, ...]
    """Paths of modules whose parameters are used, if at all, without a call."""
    scripts: tuple[str, ...]
    """Paths of modules in TorchScript, which takes no hooks."""
    suggestion: Tap | None

    def points(self) -> Iterator[Point]:
        """Yield every point of every layer."""
        for layer in self.layers:
            yield from layer.points

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "model": self.model,
            "suggestion": None if self.suggestion is None else str(self.suggestion),
            "layers": [
                {
                    "paths": list(layer.paths),
                    "class": layer.kind,
                    "calls": layer.calls,
                    "taps": [
                        {
                            "tap": str(point.tap),
                            "shape": list(point.shape),
                            "axes": point.axes,
                            "has_time": point.has_time,
                            "is_masked": point.is_masked,
                            "cost": round(point.reached, 4),
                            "layout": None if point.layout is None else asdict(point.layout),
                            "obstacle": point.obstacle,
                        }
                        for point in layer.points
                    ],
                }
                for layer in self.layers
            ],
            "never_called": list(self.silent),
            "torchscript": list(self.scripts),
        }


def survey(trained: Trained) -> Survey:
    """Run the model dry and look at everything that fires. Raises `Refused` where no sample window can be built."""
    contract, preprocessing = trained.contract, trained.preprocessing
    lag = preprocessing.max_lag  # steps of a window that the model does not see
    seen = replace(contract, min_length=contract.min_length - lag, max_length=contract.max_length - lag)
    longest = seen.max_length

    def x(count: int, width: int = longest) -> dict[str, Any]:
        return make_inputs(preprocessing, contract, np.full(count, width + lag))

    base = list_taps(trained.model, x(PROBE), trained.call)
    shapes = {width: shapes_seen(trained.model, x(PROBE, width), trained.call) for width in other_widths(seen)}
    more = shapes_seen(trained.model, x(WIDER), trained.call)
    timed = [list_taps(trained.model, x(TIMED_WINDOWS), trained.call) for _ in range(TIMED_RUNS)]
    reached = {
        (info.paths[0], call): median(run[layer].calls[call].reached for run in timed)
        for layer, info in enumerate(base)
        for call in range(len(info.calls))
    }
    layers = []
    for info in base:
        points = []
        for number, call in enumerate(info.calls):
            for select, tensor in call.tensors:
                key = info.paths[0], number, select
                points.append(
                    _point(
                        Tap(path=info.paths[0], call=number, select=select),
                        tensor,
                        {longest: tuple(tensor.shape)}
                        | {width: other[key] for width, other in shapes.items() if key in other},
                        more[key],
                        preprocessing.prediction_length,
                        type(find_module(trained.model, info.paths[0])),
                        reached[key[:2]],
                    )
                )
            points += [
                Point(
                    tap=Tap(path=info.paths[0], call=number, select=select),
                    shape=(),
                    axes="",
                    layout=None,
                    reached=reached[info.paths[0], number],
                    obstacle=form,
                )
                for select, form in call.others
            ]
        layers.append(Layer(paths=info.paths, kind=info.kind, calls=len(info.calls), points=tuple(points)))
    layers = _with_trials(trained, layers)
    fired = {path for layer in layers for path in layer.paths}
    scripts = [name for name, module in trained.model.named_modules() if not takes_hooks(module)]
    return Survey(
        model=type(trained.model).__name__,
        layers=tuple(layers),
        silent=tuple(
            name
            for name, module in trained.model.named_modules()
            if name not in {*fired, *scripts} and [*module.parameters(recurse=False)]
        ),
        scripts=tuple(name for name in scripts if name.rpartition(".")[0] not in scripts),
        suggestion=suggest(layers),
    )


def suggest(layers: list[Layer]) -> Tap | None:
    """Pick one tap by a plain rule.

    The last recurrent layer whose steps follow the window's; else the last layer named encoder, the outermost first;
    else the last convolution whose steps follow the window's; else the last vector that an activation gives.
    """
    points = [(layer, point) for layer in layers for point in layer.points if point.obstacle is None]
    recurrent = [p for layer, p in points if p.is_masked and any(kind in layer.kind for kind in RECURRENT)]
    if recurrent:
        return recurrent[-1].tap
    named = [p for _, p in points if p.tap.path.rpartition(".")[2].rstrip("s") == "encoder"]
    if named:
        return min(reversed(named), key=lambda p: p.tap.path.count(".")).tap
    convolved = [p for layer, p in points if p.is_masked and layer.kind.startswith("Conv")]
    if convolved:
        return convolved[-1].tap
    vectors = [(layer, p) for layer, p in points if not p.has_time]
    active = [p for layer, p in vectors if layer.kind in ACTIVATIONS]
    rest = active or [p for _, p in vectors] or [p for _, p in points]
    return max(rest, key=lambda p: p.reached).tap if rest else None


def _point(
    tap: Tap,
    tensor: Tensor,
    shapes: Mapping[int, Shape],
    more: Shape,
    horizon: int,
    kind: type[nn.Module],
    reached: float,
) -> Point:
    shape = tuple(tensor.shape)
    layout, obstacle = None, None
    if not tensor.is_floating_point():
        obstacle = f"{str(tensor.dtype).removeprefix('torch.')}, no numbers to embed"
    elif not tensor.numel():
        obstacle = "holds no numbers"
    else:
        try:
            layout = find_layout(tap, shapes, more, horizon, kind)
        except Refused as refusal:
            obstacle = "steps are not the window's" if "its steps are not" in str(refusal) else "no axis of windows"
    longest = next(iter(shapes))
    return Point(
        tap=tap,
        shape=shape,
        axes=_axes(shape, layout, longest, horizon),
        layout=layout,
        reached=reached,
        obstacle=obstacle,
    )


def _axes(shape: Shape, layout: Layout | None, longest: int, horizon: int) -> str:
    """Write (3, 12, 8) as (n, t, 8)."""
    if layout is None:
        return f"({', '.join(map(str, shape))})"
    words = [str(size) for size in shape]
    words[layout.batch_axis] = "n" if layout.rows == 1 else f"n*{layout.rows}"
    if layout.steps is not None and layout.time_axis is not None:
        moved = [axis for axis in range(len(shape)) if axis != layout.batch_axis]
        axis = moved[layout.time_axis - (1 if layout.rows == 1 else 2)]
        words[axis] = "t" + (f"{layout.steps:+d}" if layout.steps else "")
        if layout.steps == horizon > 0 and shape[axis] == longest + horizon:
            words[axis] = "t+D"
    return f"({', '.join(words)})"


def _with_trials(trained: Trained, layers: list[Layer]) -> list[Layer]:
    """Mark the points whose embedding does not keep its promises."""
    layouts = {
        point.tap: point.layout
        for layer in layers
        for point in layer.points
        if point.layout is not None and point.obstacle is None
    }
    obstacles = try_out(trained, layouts)
    return [
        replace(layer, points=tuple(replace(p, obstacle=p.obstacle or obstacles.get(p.tap)) for p in layer.points))
        for layer in layers
    ]

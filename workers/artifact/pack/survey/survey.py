"""Survey a trained model by dry runs: every layer that is called, and what can be tapped there.

In: a trained model with its inputs. Out: a `Survey`: each tensor with its axes, its cost, and what prevents packing it,
if anything. Knows no file and no terminal.
"""

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from torch import Tensor, nn

from undertow.artifact.dry_runs.layouts import PROBE, WIDER, Shape, find_layout, not_real, other_widths, shapes_seen
from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.pack.certify.look import look
from undertow.artifact.pack.certify.trial import try_out
from undertow.artifact.pack.read.trained import Trained
from undertow.artifact.pack.survey.points import Layer, Point, Survey
from undertow.artifact.pack.survey.suggestion import suggest
from undertow.core.errors import Refused
from undertow.core.features import Feature, Layout, Tap, TappedFeature
from undertow.core.taps import find_module, list_taps, takes_hooks

TIMED_WINDOWS, TIMED_RUNS = 64, 5


def survey(trained: Trained) -> Survey:
    """Do the dry runs, and examine every layer that is called. Raises `Refused` if no sample window can be built."""
    contract, preprocessing = trained.contract, trained.preprocessing
    lag = preprocessing.max_lag  # extra steps, which the model does not see
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
    layers = _with_sight(trained, _with_trials(trained, layers))
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
    layout, obstacle = None, not_real(tensor) or (None if tensor.numel() else "holds no numbers")
    if obstacle is None:
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
    """Describe a shape: (3, 12, 8) becomes (n, t, 8)."""
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
    """Add the obstacle of each point whose vectors are not reproducible or depend on the batch."""
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


def _with_sight(trained: Trained, layers: list[Layer]) -> list[Layer]:
    features = [
        TappedFeature(
            name=str(point.tap),
            feature=Feature(tap=point.tap, pool="last+mean" if point.has_time else "none"),
            layout=point.layout,
        )
        for layer in layers
        for point in layer.points
        if point.layout is not None and point.obstacle is None
    ]
    found = look(trained, features)
    return [
        replace(layer, points=tuple(replace(p, sight=found.get(str(p.tap))) for p in layer.points)) for layer in layers
    ]

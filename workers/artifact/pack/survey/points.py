"""The result of a survey: each tensor of a model's layers, and whether it can be tapped.

In: plain values. Out: `Survey` and its JSON form. Knows no torch.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from undertow.artifact.format.sight import Sight
from undertow.core.features import AUTO, Feature, Layout, Tap


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One tensor that a tap can select."""

    tap: Tap
    shape: tuple[int, ...]
    """Its shape for `layouts.PROBE` windows of the longest length."""
    axes: str
    """The meaning of each axis: n windows, t steps of the longest window, D decoder steps; numbers are channels."""
    layout: Layout | None
    reached: float
    """The cost of stopping there, as a fraction of the whole forward's time: median of several runs on this machine."""
    obstacle: str | None
    """Why it cannot be packed; None if it can."""
    sight: Sight | None = None
    """What it depends on, pooled by `last` and by `mean` if it has steps; None if not measured."""

    @property
    def has_time(self) -> bool:
        """Whether it has an axis of steps."""
        return self.layout is not None and self.layout.time_axis is not None

    @property
    def is_masked(self) -> bool:
        """Whether its steps follow the window's, so that padding can be left out."""
        return self.layout is not None and self.layout.steps is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One module that a forward calls."""

    paths: tuple[str, ...]
    kind: str
    calls: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The survey of a whole model."""

    model: str
    layers: tuple[Layer, ...]
    silent: tuple[str, ...]
    """Paths of modules that a forward never calls; it may use their parameters directly."""
    scripts: tuple[str, ...]
    """Paths of TorchScript modules, which take no hooks."""
    suggestion: Feature | None
    """A feature that depends on the newest step in all channels; None if there is none."""

    def points(self) -> Iterator[Point]:
        """Yield every point of every layer."""
        for layer in self.layers:
            yield from layer.points

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "model": self.model,
            "suggestion": None if self.suggestion is None else str(self.suggestion).removesuffix(f":{AUTO}"),
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
                            "sees": None if point.sight is None else point.sight.to_json(),
                        }
                        for point in layer.points
                    ],
                }
                for layer in self.layers
            ],
            "never_called": list(self.silent),
            "torchscript": list(self.scripts),
        }

"""Suggest a tap, by a fixed rule.

In: the layers of a model, with what their tensors depend on. Out: a `Feature`, or None. Knows no model.
"""

from undertow.artifact.pack.survey.points import Layer, Point
from undertow.core.features import AUTO, Feature

RECURRENT = ("LSTM", "GRU", "RNN")
ACTIVATIONS = ("ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "GELU", "SiLU", "Softplus", "Tanh")


def suggest(layers: list[Layer]) -> Feature | None:
    """Pick one tap among those whose vector depends on the newest step in all channels.

    In this order: the last recurrent layer whose steps follow the window's, or the first one that continues from it;
    the last layer named encoder, outermost first; the last convolution whose steps follow the window's; the last vector
    that an activation gives.
    """
    points = [(layer, point) for layer in layers for point in layer.points if _pooling(point) is not None]
    recurrent = [p for layer, p in points if any(kind in layer.kind for kind in RECURRENT)]
    named = [p for _, p in points if p.tap.path.rpartition(".")[2].rstrip("s") == "encoder"]
    convolved = [p for layer, p in points if p.is_masked and layer.kind.startswith("Conv")]
    vectors = [(layer, p) for layer, p in points if not p.has_time]
    rest = [p for layer, p in vectors if layer.kind in ACTIVATIONS] or [p for _, p in vectors or points]
    if recurrent:
        chosen = next((p for p in reversed(recurrent) if p.is_masked), recurrent[0])
    elif named:
        chosen = min(reversed(named), key=lambda p: p.tap.path.count("."))
    elif convolved:
        chosen = convolved[-1]
    elif rest:
        chosen = max(rest, key=lambda p: p.reached)
    else:
        return None
    return Feature(tap=chosen.tap, pool=_pooling(chosen) or AUTO)


def _pooling(point: Point) -> str | None:
    """Return a pooling that depends on the newest step in all channels, preferably the default one."""
    if point.obstacle is not None:
        return None
    if point.sight is None:
        return AUTO
    whole = [number for number, part in enumerate(point.sight.parts) if part.is_whole]
    if not whole:
        return None
    return point.sight.parts[whole[0]].pool if whole[0] else AUTO

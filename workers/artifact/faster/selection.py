"""A variable selection network with its linear layers folded, which takes a slice of the windows at a time.

A real variable is one number a step. The network maps it to a vector by a chain that is linear except for an ELU, a
gate and two layer norms. So prescaler and first layer fold into one affine function for each inner channel, second and
gating layer into one matrix, and the norm of the residual (affine in that number) into a closed formula. The variables'
weights are computed with channels as rows, since layer norm and softmax are slow over few channels. A slice is what
fits in the cache.

In: a `VariableSelectionNetwork`. Out: a function that replaces its forward in eval mode. Knows no other module.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from undertow.artifact.faster.class_paths import RESAMPLE_NORM, VARIABLE_SELECTION, is_a, is_exactly
from undertow.artifact.faster.folding import (
    constant,
    double,
    gate_of,
    gate_of_resampling,
    interpolation_of,
    is_plain,
    skip_of,
)
from undertow.artifact.faster.norms import layer_norm
from undertow.artifact.faster.residual import STEPPED, faster_residual, project_context

ROWS = 4096
"""Windows times steps of one slice on a CPU, so that it fits in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reals:
    """The folded layers of v real variables, stacked; k inner channels each, and one more that is always 1 (bias)."""

    inner: tuple[Tensor, Tensor]
    """Slope and offset of the inner channels, (v, 1, k + 1) each."""
    outer: Tensor
    """Matrix from the inner channels to value and gate, (v, k + 1, 2 * h)."""
    spread: tuple[Tensor, Tensor, Tensor]
    """The residual's variance is a parabola in the number: its slope, centre and minimum, (v, 1) each."""
    skip: Tensor
    """Matrix from (number / deviation, 1 / deviation, 1) to the residual, (v, 3, h)."""
    norms: Sequence[nn.LayerNorm]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """The folded layers that compute the variables' weights. Data are (channels, rows): few channels, many rows."""

    reals: Tensor
    """Matrix from the reals' numbers to inner channels and residual, (k + v, reals)."""
    embedded: Tensor | None
    """Matrix from the embeddings to the same, (k + v, their channels)."""
    bias: Tensor
    inner: int
    """k, the number of inner channels."""
    outer: tuple[Tensor, Tensor]
    skip_norm: nn.LayerNorm | None
    norm: nn.LayerNorm
    context: nn.Linear | None


def faster_selection(module: Any, *, folded_weights: bool = True) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """Return a faster forward, or None if the module is not built as expected.

    The layer norms before the weights have as many channels as there are variables. If these are few and nearly equal,
    the norms magnify an error of the last bit to 1e-3; then only the module's own computation of the weights
    (`folded_weights=False`) gives the same.
    """
    if not is_exactly(module, VARIABLE_SELECTION) or not _is_known(module):
        return None
    names = list(module.input_sizes)
    reals = [name for name in names if name in module.prescalers]
    embedded = [name for name in names if name not in module.prescalers]
    stacked, weighing = _stack(module, reals), _weigh(module, reals, embedded) if folded_weights else None
    others = [_embedded(module.single_variable_grns[name]) for name in embedded]
    places = [names.index(name) for name in (*reals, *embedded)]

    def forward(x: Mapping[str, Tensor], context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lead = x[reals[0]].shape[:-1]
        windows, steps = lead[0], lead[1] if len(lead) == STEPPED - 1 else 1
        rows = windows * steps
        numbers = torch.stack([x[name][..., 0] for name in reals]).view(len(reals), rows)
        vectors = [x[name].reshape(rows, -1) for name in embedded]
        given = None
        if context is not None and weighing is not None and weighing.context is not None:
            given = project_context(context, weighing.context.weight)
            given = given.reshape(windows, -1, weighing.inner).permute(2, 0, 1)  # (k, windows, steps or 1)
        result = numbers.new_zeros(rows, module.hidden_size)
        weights = numbers.new_empty(rows, len(names)) if weighing else _own_weights(module, x, context).view(rows, -1)
        # No slices in a compiled form: the number of rounds of the loop would be fixed in it.
        is_whole = numbers.is_cuda or torch.compiler.is_compiling()
        cuts = (0,) if is_whole else range(0, windows, max(1, ROWS // steps))
        for start, end in pairwise((*cuts, windows)):
            here = slice(start * steps, end * steps)
            part, parts = numbers[:, here], [vector[here] for vector in vectors]
            if weighing:
                some = _weights(weighing, part, parts, None if given is None else given[:, start:end], steps)
                weights[here] = some.T
            else:
                some = weights[here].T
            some = some[places, :, None]  # (v, rows, 1)
            out = result[here]
            for norm, one, weight in zip(stacked.norms, _reals(stacked, part), some, strict=False):
                out.addcmul_(_normalise(one, norm), weight)
            for other, vector, weight in zip(others, parts, some[len(reals) :], strict=True):
                out.addcmul_(other(vector), weight)
        return result.view(*lead, -1), weights.view(*lead, 1, -1)

    return forward


def in_slices(forward: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Call a compiled form, which has no slices inside, with one slice after another."""

    def sliced(x: Mapping[str, Tensor], context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        windows, *rest = next(iter(x.values())).shape
        count = max(1, ROWS // math.prod(rest[:-1]))
        if windows <= count:
            return forward(x, context)
        cuts = [slice(start, start + count) for start in range(0, windows, count)]
        parts = [
            forward({name: one[cut] for name, one in x.items()}, None if context is None else context[cut])
            for cut in cuts
        ]
        vectors, weights = zip(*parts, strict=True)
        return torch.cat(vectors), torch.cat(weights)

    return sliced


def _is_known(module: Any) -> bool:
    if module.num_inputs < 2 or not module.prescalers or not is_plain(module.flattened_grn):  # noqa: PLR2004
        return False
    return all(
        is_plain(one) and module.prescalers[name].in_features == 1
        if name in module.prescalers
        else is_exactly(one, RESAMPLE_NORM) or is_plain(one)
        for name, one in module.single_variable_grns.items()
    )


def _stack(module: Any, names: Sequence[str]) -> Reals:
    grns = [module.single_variable_grns[name] for name in names]
    widest = max(grn.hidden_size for grn in grns)
    like: Tensor = grns[0].fc1.weight
    inner, outer, spread, skip = [], [], [], []
    for name, grn in zip(names, grns, strict=True):
        scaler, first = module.prescalers[name], double(grn.fc1.weight)
        slope, offset = double(scaler.weight)[:, 0], double(scaler.bias)
        lines = slope.new_zeros(2, widest + 1)
        lines[0, : grn.hidden_size] = first @ slope
        lines[1, : grn.hidden_size] = first @ offset + double(grn.fc1.bias)
        lines[1, widest] = 1.0  # ELU(1) is 1
        matrix, bias = gate_of(grn)
        gate = slope.new_zeros(widest + 1, matrix.shape[1])
        gate[: grn.hidden_size], gate[widest] = matrix, bias
        matrix, norm = skip_of(grn)
        curve, back = _residual(slope @ matrix, offset @ matrix, norm)
        inner.append(lines)
        outer.append(gate)
        spread.append(curve)
        skip.append(back)
    lines = torch.stack(inner)[:, :, None]  # (v, 2, 1, k + 1)
    curves = torch.stack(spread)[:, :, None]
    return Reals(
        inner=(constant(lines[:, 0], like), constant(lines[:, 1], like)),
        outer=constant(torch.stack(outer), like),
        spread=(constant(curves[:, 0], like), constant(curves[:, 1], like), constant(curves[:, 2], like)),
        skip=constant(torch.stack(skip), like),
        norms=[grn.gate_norm.add_norm.norm for grn in grns],
    )


def _residual(slope: Tensor, offset: Tensor, norm: nn.LayerNorm | None) -> tuple[Tensor, Tensor]:
    """Return the parabola of the variance of slope * number + offset, and the matrix of its normalised value."""
    if norm is None:
        return slope.new_tensor([0.0, 0.0, 1.0]), torch.stack([slope, offset, torch.zeros_like(slope)])
    slope, offset = slope - slope.mean(), offset - offset.mean()
    square = slope.square().mean()
    centre = (slope * offset).mean() / square if square > 0 else torch.zeros_like(square)
    least = (offset - centre * slope).square().mean() + norm.eps
    weight = double(norm.weight)
    return torch.stack([square, centre, least]), torch.stack([slope * weight, offset * weight, double(norm.bias)])


def _weigh(module: Any, reals: Sequence[str], embedded: Sequence[str]) -> Weighing:
    grn = module.flattened_grn
    matrix, skip_norm = skip_of(grn)
    joined = torch.cat([double(grn.fc1.weight).T, matrix], dim=1)
    blocks = dict(zip(module.input_sizes, torch.split(joined, list(module.input_sizes.values())), strict=True))
    bias = torch.cat([double(grn.fc1.bias), matrix.new_zeros(grn.output_size)])
    bias = bias + sum(double(module.prescalers[name].bias) @ blocks[name] for name in reals)
    numbers = [double(module.prescalers[name].weight)[:, 0] @ blocks[name] for name in reals]
    like: Tensor = grn.fc1.weight
    weight, gate_bias = gate_of(grn)
    return Weighing(
        reals=constant(torch.stack(numbers).T, like),
        embedded=constant(torch.cat([blocks[name] for name in embedded]).T, like) if embedded else None,
        bias=constant(bias[:, None], like),
        inner=grn.hidden_size,
        outer=(constant(weight.T, like), constant(gate_bias[:, None], like)),
        skip_norm=skip_norm,
        norm=grn.gate_norm.add_norm.norm,
        context=getattr(grn, "context", None),
    )


def _embedded(module: Any) -> Callable[[Tensor], Tensor]:
    """Return the function that the network applies to a category's embedding."""
    if not is_a(module, RESAMPLE_NORM):
        return faster_residual(module) or module
    interpolation, gate = interpolation_of(module), gate_of_resampling(module)
    # Not folded, so that it rounds as the module does: an embedding of one channel has hardly any variance, and the
    # norm magnifies its last bit about a hundred times.
    matrix = constant(interpolation, module.norm.weight)

    def forward(vector: Tensor) -> Tensor:
        gated = vector @ matrix * gate
        normalise = layer_norm if torch.compiler.is_compiling() else _normalise
        return normalise(gated, module.norm)

    return forward


def _weights(by: Weighing, numbers: Tensor, vectors: Sequence[Tensor], context: Tensor | None, steps: int) -> Tensor:
    """Return the weight of each variable in each row, (v, rows)."""
    mixed = torch.addmm(by.bias, by.reals, numbers)
    if by.embedded is not None:
        mixed.addmm_(by.embedded, torch.cat(list(vectors), dim=1).T)
    inner, skip = mixed[: by.inner], mixed[by.inner :]
    if context is not None:
        inner.view(by.inner, -1, steps).add_(context)
    if by.skip_norm is not None:
        skip = _normalise_channels(skip, by.skip_norm)
    weight, bias = by.outer
    return _normalise_channels(
        functional.glu(torch.addmm(bias, weight, functional.elu_(inner)), dim=0).add_(skip), by.norm
    ).softmax(0)


def _own_weights(module: Any, x: Mapping[str, Tensor], context: Tensor | None) -> Tensor:
    """Return the weight of each variable in each row, by the module's own layers, (windows, steps, v)."""
    scalers = module.prescalers
    flat = torch.cat([scalers[name](x[name]) if name in scalers else x[name] for name in module.input_sizes], dim=-1)
    weights: Tensor = module.softmax(module.flattened_grn(flat, context))
    return weights


def _reals(by: Reals, numbers: Tensor) -> Iterator[Tensor]:
    """Yield each variable's vectors before the last norm, (rows, h); one at a time, so that they stay in the cache."""
    slope, offset = by.inner
    inner = functional.elu_(torch.addcmul(offset, numbers[:, :, None], slope))
    square, centre, least = by.spread
    scale = torch.addcmul(least, square, (numbers + centre).square_()).rsqrt_()
    parts = torch.stack([numbers * scale, scale, torch.ones_like(scale)], dim=-1)
    for one, outer, part, skip in zip(inner, by.outer, parts, by.skip, strict=True):
        yield functional.glu(one @ outer).addmm_(part, skip)


def _normalise(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _normalise_channels(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(0)
    return torch.addcmul(
        norm.bias[:, None],
        centred.mul_(torch.rsqrt(centred.square().mean(0) + norm.eps)),
        norm.weight[:, None],
    )

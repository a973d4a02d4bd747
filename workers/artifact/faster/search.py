"""Find the parts of a model on which no tap depends: by autograd's graph of a forward, then by trial.

What the graph shows as unneeded is skipped, with arbitrary numbers in its place, and the vectors must stay bit-equal.
The graph alone is not enough: a model may detach a tensor, or branch on its value.

In: a model, its taps, how their tensors become vectors, inputs of several sizes. Out: a `Pruning`. Knows no file.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.notices import tell_error
from undertow.artifact.faster.recurrent import LAYERS
from undertow.artifact.faster.skipping import skipping, tensors_of
from undertow.artifact.faster.templates import ModuleCall, find_template
from undertow.artifact.format.pruning import OutputTemplate, Pruning
from undertow.core.features import Tap
from undertow.core.taps import Call, Taps, find_module, takes_hooks

NUMBERS = (math.nan, 0.0, 1e3, -1e3)
"""The numbers that replace a skipped output, one trial each."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One forward as far as the last tap, with autograd's graph."""

    calls: Mapping[nn.Module, Sequence[ModuleCall]]
    unneeded: frozenset[int]
    """Ids of the outputs and parameters that reach no vector in the graph."""

    def is_unneeded(self, module: nn.Module, part: Callable[[Any], Any] = lambda output: output) -> bool:
        """Whether the module was called, and nothing in that part of its outputs reaches a vector."""
        tensors = [tensor for seen in self.calls.get(module, ()) for tensor in tensors_of(part(seen.output))]
        followed = [tensor for tensor in tensors if tensor.requires_grad]
        return bool(followed) and all(id(tensor) in self.unneeded for tensor in followed)


MakeVectors = Callable[[Mapping[Tap, Tensor], Any], Sequence[Tensor]]
"""A function from the tapped tensors and the inputs to the vectors."""


def find_pruning(
    model: nn.Module, taps: Sequence[Tap], inputs: Sequence[Any], vectors: MakeVectors, call: Call | None = None
) -> Pruning:
    """Return what can be left out of the forwards of `model`, which is not changed.

    `inputs` differ in the number of windows and in length, to show how the shape of each output depends on them.
    """
    count = sum(parameter.numel() for parameter in model.parameters())
    try:
        with _trackable(model), Taps(model, taps, _tracked(call or model)) as running:
            runs = [_record(model, running, x, vectors) for x in inputs]
            owned = _owned_by_called(model, inputs[0], call or model)
            with Taps(model, taps, call) as proving:
                return _prove(model, taps, runs, _Proof(model, proving, inputs, vectors), count, owned)
    except Exception as error:  # noqa: BLE001 - a model that cannot be analysed still runs as it is
        tell_error(log, "the model runs with all its parts, since its graph cannot be followed", error)
        return Pruning(parameters=count, kept=count)


class _Proof:
    """Runs a model with parts left out, and checks whether its vectors stay the same."""

    def __init__(self, model: nn.Module, running: Taps, inputs: Sequence[Any], vectors: MakeVectors) -> None:
        self._model = model
        self._run: Callable[[], list[Tensor]] = lambda: [one for x in inputs for one in vectors(running.run(x), x)]
        self._expected = self._run()

    def holds(
        self, *, skipped: Mapping[str, OutputTemplate], stateless: Sequence[str] = (), dropped: Sequence[str] = ()
    ) -> bool:
        """Whether the vectors stay the same without all of these."""
        return all(self._holds(number, skipped, stateless, dropped) for number in NUMBERS)

    def _holds(
        self, number: float, skipped: Mapping[str, OutputTemplate], stateless: Sequence[str], dropped: Sequence[str]
    ) -> bool:
        with ExitStack() as stack:
            stack.enter_context(skipping(self._model, skipped, number))
            stack.enter_context(_overwritten(self._model, dropped, number))
            for path in stateless:
                hook = self._model.get_submodule(path).register_forward_hook(_garble_state(number), prepend=True)
                stack.callback(hook.remove)
            try:
                found = self._run()
            except Exception:  # noqa: BLE001 - a model may fail in any way without a part it needs
                return False
        return all(torch.equal(*pair) for pair in zip(self._expected, found, strict=True))


def _prove(
    model: nn.Module, taps: Sequence[Tap], runs: Sequence[Run], proof: _Proof, count: int, owned: Collection[int]
) -> Pruning:
    skipped = dict(_find_skippable(model, {find_module(model, tap.path) for tap in taps}, runs))
    paths = _most(list(skipped), lambda some: proof.holds(skipped={path: skipped[path] for path in some}))
    skipped = {path: skipped[path] for path in paths}
    stateless: Sequence[str] = [
        path
        for path, module in model.named_modules()
        if isinstance(module, LAYERS)
        and all(run.is_unneeded(module, lambda output: output[1]) for run in runs)
        and not any(run.is_unneeded(module) for run in runs)
    ]
    stateless = _most(stateless, lambda some: proof.holds(skipped=skipped, stateless=some))
    names = model.state_dict().keys()
    parameters = {
        name: parameter for name, parameter in model.named_parameters(remove_duplicate=False) if name in names
    }
    dropped: Sequence[str] = [
        name
        for name, parameter in parameters.items()
        if id(parameter) in owned and all(id(parameter) in run.unneeded for run in runs)
    ]
    dropped = _most(dropped, lambda some: proof.holds(skipped=skipped, stateless=stateless, dropped=some))
    lost = {id(parameters[name]): parameters[name].numel() for name in dropped}
    return Pruning(
        skipped=skipped,
        stateless=tuple(stateless),
        dropped=tuple(dropped),
        parameters=count,
        kept=count - sum(lost.values()),
    )


def _most(names: Sequence[str], holds: Callable[[Sequence[str]], bool]) -> Sequence[str]:
    """Return all names if `holds` is true of them; otherwise drop those that matter, found by halving."""
    if holds(names):
        return names
    if len(names) <= 1:
        return []
    middle = len(names) // 2
    rest = [*_most(names[:middle], holds), *_most(names[middle:], holds)]
    return rest if holds(rest) else []


def _find_skippable(
    model: nn.Module, tapped: set[nn.Module], runs: Sequence[Run]
) -> Iterator[tuple[str, OutputTemplate]]:
    """Yield outermost skippable modules; never one that calls a tapped module, since calls are counted."""
    inside: set[nn.Module] = set()
    for path, module in model.named_modules():
        if module in inside or tapped & set(module.modules()) or not all(run.is_unneeded(module) for run in runs):
            continue
        output = find_template([seen for run in runs for seen in run.calls[module]])
        if output is not None:
            inside.update(module.modules())
            yield path, output


def _record(model: nn.Module, running: Taps, x: Any, vectors: MakeVectors) -> Run:
    calls: defaultdict[nn.Module, list[ModuleCall]] = defaultdict(list)

    def keep(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        shapes = tuple(tuple(tensor.shape) for tensor in tensors_of((args, kwargs)))
        calls[module].append(ModuleCall(inputs=shapes, output=output))

    with ExitStack() as stack:
        for one in filter(takes_hooks, model.modules()):  # before the taps' hooks, which may end the forward
            stack.callback(one.register_forward_hook(keep, with_kwargs=True, prepend=True).remove)
        found = running.run(x)
    outputs = [tensor for seen in calls.values() for one in seen for tensor in tensors_of(one.output)]
    tracked = [tensor for tensor in (*outputs, *model.parameters()) if tensor.requires_grad]
    with torch.enable_grad():
        ends = vectors(found, x)
        if not all(end.requires_grad for end in ends):
            return Run(calls=calls, unneeded=frozenset())  # a vector has no graph, so nothing is known
        total = torch.stack([end.sum() for end in ends]).sum()
        gradients = torch.autograd.grad(total, tracked, allow_unused=True)
    unneeded = frozenset(
        id(tensor)
        for tensor, gradient in zip(tracked, gradients, strict=True)
        if gradient is None or not gradient.any()  # it reaches no vector, or only steps that are not pooled
    )
    return Run(calls=calls, unneeded=unneeded)


def _owned_by_called(model: nn.Module, x: Any, call: Call) -> set[int]:
    """Return the ids of the parameters of all modules that a whole forward calls.

    Other windows may call the other modules, so their parameters are kept.
    """
    called: set[nn.Module] = set()
    with ExitStack() as stack:
        for one in filter(takes_hooks, model.modules()):
            stack.callback(one.register_forward_pre_hook(lambda module, _: called.add(module)).remove)
        # A rebuilt model may fail late in its forward, if its forecast needs objects that were not kept.
        with suppress(Exception), torch.inference_mode():
            call(x)
    return {id(parameter) for module in called for parameter in module.parameters(recurse=False)}


def _tracked(call: Call) -> Call:
    def run(x: Any) -> object:
        with torch.inference_mode(mode=False), torch.enable_grad():
            return call(x)

    return run


@contextmanager
def _trackable(model: nn.Module) -> Iterator[None]:
    """Require gradients of every parameter meanwhile, also of frozen ones."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)


@contextmanager
def _overwritten(model: nn.Module, names: Sequence[str], number: float) -> Iterator[None]:
    parameters = dict(model.named_parameters(remove_duplicate=False))
    before = [(parameters[name], parameters[name].data) for name in names]
    for parameter, data in before:
        parameter.data = torch.full_like(data, number)
    try:
        yield
    finally:
        for parameter, data in before:
            parameter.data = data


def _garble_state(number: float) -> Callable[..., Any]:
    def replace(_module: nn.Module, _args: Any, output: Any) -> Any:
        sequence, state = output
        if isinstance(state, Tensor):
            return sequence, torch.full_like(state, number)
        return sequence, tuple(torch.full_like(part, number) for part in state)

    return replace

"""Hooks on named modules: registered once; each call collects its own tensors and ends the forward when it has all.

In: a model and the wanted taps. Out: the tensors at the taps, or the list of everything that can be tapped. Knows
nothing of time, pooling or windows.
"""

import difflib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from undertow.core.errors import Refused
from undertow.core.features import Tap
from undertow.core.returned import Elements, form_of, leaves, select
from undertow.core.tap_texts import quoted

Call = Callable[[Any], object]
"""A function that calls the model with the inputs built for it; the model itself is one."""

LIST_ALL = "list all that fire: undertow taps"


class _Stop(BaseException):
    """Ends a forward once all taps are collected. Not an `Exception`, so that no model's `except` swallows it."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    """The tensors that one forward has collected so far."""

    owner: object
    captured: dict[Tap, Tensor] = field(default_factory=dict)
    calls: defaultdict[nn.Module, int] = field(default_factory=lambda: defaultdict(int))
    latest: dict[Tap, deque[Tensor]] = field(default_factory=dict)
    """The last outputs at taps whose call is counted from the end."""


_RUN: ContextVar[_Run | None] = ContextVar("undertow_run", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """One call of a module in a dry run."""

    reached: float
    """When the call returned, as a fraction of the whole forward's time."""
    tensors: tuple[tuple[Elements, Tensor], ...]
    """Every tensor that can be tapped, with the elements that select it."""
    others: tuple[tuple[Elements, str], ...] = ()
    """Every tensor that cannot, with its form: a nested tensor, a sparse coo tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapInfo:
    """A module that was called in a dry run."""

    paths: tuple[str, ...]
    """Its paths: more than one if the model refers to it by several names."""
    kind: str
    """The name of the module's class."""
    calls: tuple[CallInfo, ...]


class Taps:
    """The hooks for some taps of one model. `close` removes them. Any number of threads may call `run`.

    Examples:
        >>> from torch import nn, zeros
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> hidden = undertow.Feature.parse("1").tap
        >>> taps = undertow.Taps(model, [hidden])
        >>> taps.run(zeros(4, 2))[hidden].shape
        torch.Size([4, 8])
        >>> taps.close()
    """

    def __init__(self, model: nn.Module, taps: Sequence[Tap], call: Call | None = None) -> None:
        """Register the hooks. `call` is how to call the model if it does not take the inputs as they are.

        Raises `Refused` for a path that is no module of the model, or that takes no hooks.
        """
        self._is_closed = False
        self._model = model.eval()
        self._call: Call = call or model
        self._taps = tuple(dict.fromkeys(taps))
        modules = {tap: find_module(model, tap.path) for tap in self._taps}
        wanted: defaultdict[nn.Module, defaultdict[int, list[Tap]]] = defaultdict(lambda: defaultdict(list))
        for tap, module in modules.items():
            wanted[module][tap.call].append(tap)  # paths that are aliases of one module share its hook and its calls
        self._modules = modules
        self._handles = [module.register_forward_hook(self._hook(calls)) for module, calls in wanted.items()]

    def run(self, x: Any) -> dict[Tap, Tensor]:
        """Run the model on `x` until the last tap was reached; return the tensor at each tap, as the module gave it.

        Runs in inference mode. Raises `Refused` if a tap did not fire or holds no tensor that can be pooled.
        """
        if self._is_closed:
            message = "these taps are closed: their hooks were taken off the model"
            raise Refused(message)
        torch.get_num_threads()  # without it, another thread's `set_num_threads` has no effect in this one
        run = _Run(owner=self)
        token = _RUN.set(run)
        try:
            with torch.inference_mode():
                self._call(x)
        except _Stop:
            return run.captured
        finally:
            _RUN.reset(token)
        run.captured.update({tap: found[0] for tap, found in run.latest.items() if len(found) == -tap.call})
        if len(run.captured) < len(self._taps):
            raise Refused(self._missing(run))
        return run.captured

    def close(self) -> None:
        """Remove the hooks. Idempotent."""
        self._is_closed = True
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hook(self, calls: Mapping[int, Sequence[Tap]]) -> Callable[[nn.Module, Any, Any], None]:
        def collect(module: nn.Module, _args: Any, output: Any) -> None:
            run = _RUN.get()
            if run is None or run.owner is not self:
                return  # somebody else's forward through this model
            call = run.calls[module]
            run.calls[module] += 1
            for tap in (tap for back, taps in calls.items() if back < 0 for tap in taps):
                run.latest.setdefault(tap, deque(maxlen=-tap.call)).append(select(tap, output).clone())
            if call not in calls:
                return
            here = {tap: select(tap, output) for tap in calls[call]}
            if len(run.captured) + len(here) == len(self._taps):
                run.captured.update(here)
                raise _Stop
            # A clone, since the forward goes on and may overwrite its tensor in place.
            run.captured.update({tap: tensor.clone() for tap, tensor in here.items()})

        return collect

    def _missing(self, run: _Run) -> str:
        tap = next(tap for tap in self._taps if tap not in run.captured)
        model, calls = type(self._model).__name__, run.calls[self._modules[tap]]
        if calls == 0:
            return (
                f"the tap {tap} is a module of {model}, but the forward never calls it, so it has no hidden state "
                f"(a container, or a part whose weights are used directly); {LIST_ALL}"
            )
        return (
            f"the tap {tap} asks for call {tap.call}, counted from 0, but one forward of {model} calls it {calls} times"
        )


def paths_of(model: nn.Module) -> tuple[str, ...]:
    """Return the path of every module, by each of its names."""
    return tuple(name for name, _ in model.named_modules(remove_duplicate=False) if name)


def takes_hooks(module: nn.Module) -> bool:
    """Whether hooks can be registered on the module (not so on TorchScript)."""
    return not isinstance(module, torch.jit.ScriptModule)


def find_module(model: nn.Module, path: str) -> nn.Module:
    """Return the module at `path`. Raises `Refused`, which names the closest paths that exist."""
    modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    if path and path in modules:
        if not takes_hooks(modules[path]):
            message = (
                f"the tap {path} of {type(model).__name__} is TorchScript, which takes no hooks; tap a layer before or "
                "behind it, or leave torch.jit out where the model is built"
            )
            raise Refused(message)
        return modules[path]
    paths = [name for name in modules if name]
    close = ", ".join(quoted(name) for name in difflib.get_close_matches(path, paths, n=3, cutoff=0.5))
    message = (
        f'no module "{path}" in {type(model).__name__}; ' + (f"closest: {close} " if close else "") + f"({LIST_ALL})"
    )
    raise Refused(message)


def list_taps(
    model: nn.Module,
    x: Any,
    call: Call | None = None,
    *,
    may_fail: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[TapInfo, ...]:
    """Run the whole model once on `x`; return every module that was called, in the order in which they first returned.

    With `may_fail`, a model that raises is listed as far as it ran. `clock` measures seconds.
    """
    seen: dict[nn.Module, list[tuple[float, Any]]] = {}

    def record(module: nn.Module, _args: Any, output: Any) -> None:
        seen.setdefault(module, []).append((clock(), tuple(leaves(output))))

    paths: defaultdict[nn.Module, list[str]] = defaultdict(list)
    for path, module in model.named_modules(remove_duplicate=False):
        if path and takes_hooks(module):
            paths[module].append(path)
    model.eval()
    with ExitStack() as stack, torch.inference_mode():
        for module in paths:
            handle: RemovableHandle = module.register_forward_hook(record)
            stack.callback(handle.remove)
        began = clock()
        with suppress(Exception) if may_fail else nullcontext():
            (call or model)(x)
        took = clock() - began
    return tuple(
        TapInfo(
            paths=tuple(paths[module]),
            kind=type(module).__name__,
            calls=tuple(_info((at - began) / took if took else 0.0, found) for at, found in calls),
        )
        for module, calls in seen.items()
    )


def _info(reached: float, found: Sequence[tuple[Elements, Tensor]]) -> CallInfo:
    forms = [(elements, tensor, form_of(tensor)) for elements, tensor in found]
    return CallInfo(
        reached=reached,
        tensors=tuple((elements, tensor) for elements, tensor, form in forms if form is None),
        others=tuple((elements, form) for elements, _, form in forms if form is not None),
    )

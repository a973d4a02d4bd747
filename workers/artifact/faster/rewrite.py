"""Replace the forward of slow modules by a faster one that gives the same, module by module, each only if proved.

In: a model, its taps, a way to run it on sample inputs. Out: the model, changed in place, and the paths that were
changed. Knows no file.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.artifact.faster.recurrent import faster_recurrent
from workers.artifact.faster.residual import faster_residual
from workers.artifact.faster.selection import faster_selection
from workers.core.taps import find_module

TOLERANCE = 1e-6
"""Of a tensor, in units of its largest number or of 1."""

log = logging.getLogger(__name__)

Forward = Callable[..., Any]


def rewrite(
    model: nn.Module, taps: Sequence[str], run: Callable[[], object], *, stateless: Collection[str] = ()
) -> tuple[str, ...]:
    """Rewrite what can be, except around the modules at the paths `taps`; return the paths of what was rewritten.

    `run` runs the model on sample inputs: each rewrite is given what its module is given there, and must return the
    same. `stateless` are the paths of recurrent modules whose final state nothing reads.
    """
    candidates = dict(_candidates(model, taps, stateless))
    worst: dict[Forward, float] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            _prove(path, forms, worst, first_only=path in stateless),
            with_kwargs=True,
            prepend=True,  # before a tap's, which may end the forward
        )
        for path, forms in candidates.items()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    done: list[str] = []
    for path, forms in candidates.items():
        if forms[0] not in worst or any(path.startswith(f"{outer}.") for outer in done):
            continue  # never called, or inside of what is rewritten as a whole
        equal = next((form for form in forms if worst[form] <= TOLERANCE), None)
        if equal is None:
            least = min(worst[form] for form in forms)
            log.warning("%s runs as it is, since its faster form differs by %.2g on the sample windows", path, least)
            continue
        model.get_submodule(path).forward = equal
        done.append(path)
    return tuple(done)


def restore(model: nn.Module, paths: Sequence[str]) -> None:
    """Undo `rewrite`."""
    for path in paths:
        del model.get_submodule(path).forward


def _candidates(
    model: nn.Module, taps: Sequence[str], stateless: Collection[str]
) -> Iterator[tuple[str, Sequence[Forward]]]:
    """Yield outer modules before what is inside of them, each with its faster forms, fastest first."""
    tapped = {find_module(model, tap) for tap in taps}
    for path, module in model.named_modules():
        if "forward" in vars(module) or tapped & {*module.modules()} - {module}:
            continue  # it is skipped, or a tap inside of it, maybe under another path, must fire
        forms: Sequence[Forward | None] = (
            faster_selection(module),
            faster_selection(module, folded_weights=False),
            faster_residual(module),
            faster_recurrent(module, stateless=path in stateless),
        )
        if found := [form for form in forms if form is not None]:
            yield path, found


def _prove(
    path: str, forms: Sequence[Forward], worst: dict[Forward, float], *, first_only: bool
) -> Callable[..., None]:
    """Return a hook that runs the faster forms beside the module, and keeps how far apart each is from it."""

    def compare(_module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> None:
        expected = output[:1] if first_only else output
        for form in forms:
            try:
                found = form(*args, **kwargs)
            except Exception:
                log.warning("a faster form of %s fails on the sample windows", path, exc_info=True)
                worst[form] = float("inf")
                continue
            worst[form] = max(worst.get(form, 0.0), distance(expected, found[:1] if first_only else found))

    return compare


def distance(expected: Any, found: Any) -> float:
    """Return how far apart two outputs are, in units of each tensor's largest number or of 1; else infinite."""
    if isinstance(expected, Tensor) and isinstance(found, Tensor) and expected.shape == found.shape:
        numbers = ~expected.isnan()  # what is skipped gives none
        if not torch.equal(numbers, ~found.isnan()):
            return float("inf")
        expected, found = expected[numbers], found[numbers]
        if not expected.numel():
            return 0.0
        return float((expected - found).abs().max()) / max(1.0, float(expected.abs().max()))
    if isinstance(expected, tuple) and isinstance(found, tuple) and len(expected) == len(found):
        return max((distance(*pair) for pair in zip(expected, found, strict=True)), default=0.0)
    return 0.0 if expected is None and found is None else float("inf")

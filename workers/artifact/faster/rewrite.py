"""Replace the forward of slow modules by a faster one, module by module, each only if it was seen to give the same.

In: a model, its taps, a function that runs it on sample inputs. Out: the model, changed in place, and the changed
paths. Knows no file.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.faster.notices import tell, tell_error
from undertow.artifact.faster.recurrent import faster_recurrent
from undertow.artifact.faster.residual import faster_residual
from undertow.artifact.faster.selection import faster_selection
from undertow.core.taps import find_module

TOLERANCE = 1e-6
"""The largest difference allowed in an output, relative to the tensor's largest number, or to 1 if that is smaller."""
MARGIN = TOLERANCE / 2
"""How much all rewrites together may change a vector, and how much all compiled parts may: half each."""

log = logging.getLogger(__name__)

Forward = Callable[..., Any]


def rewrite(
    model: nn.Module, taps: Sequence[str], run: Callable[[], object], *, stateless: Collection[str] = ()
) -> tuple[str, ...]:
    """Rewrite every slow module that contains none of the `taps` (module paths); return the rewritten paths.

    `run` runs the model on sample inputs: each faster form is called with what its module is given there, and must
    return the same. `stateless` are the paths of recurrent modules whose final state nothing reads.
    """
    candidates = dict(_candidates(model, taps, stateless))
    worst: dict[Forward, float] = {}
    errors: dict[str, Exception] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            _prove(path, forms, worst, errors, first_only=path in stateless),
            with_kwargs=True,
            prepend=True,  # before a tap's hook, which may end the forward
        )
        for path, forms in candidates.items()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    done: list[str] = []
    unequal: dict[str, float] = {}
    for path, forms in candidates.items():
        if forms[0] not in worst or any(path.startswith(f"{outer}.") for outer in done):
            continue  # never called, or inside a module that is rewritten as a whole
        equal = next((form for form in forms if worst[form] <= TOLERANCE), None)
        if equal is None:
            unequal[path] = min(worst[form] for form in forms)
            continue
        model.get_submodule(path).forward = equal
        done.append(path)
    _tell(unequal, errors)
    return tuple(done)


def restore(model: nn.Module, paths: Sequence[str]) -> None:
    """Undo `rewrite`."""
    for path in paths:
        del model.get_submodule(path).forward


def _candidates(
    model: nn.Module, taps: Sequence[str], stateless: Collection[str]
) -> Iterator[tuple[str, Sequence[Forward]]]:
    """Yield outer modules before inner ones, each with its faster forms, fastest first."""
    tapped = {find_module(model, tap) for tap in taps}
    for path, module in model.named_modules():
        if "forward" in vars(module) or tapped & {*module.modules()} - {module}:
            continue  # skipped modules never run; a tap inside, maybe under another path, must still fire
        forms: Sequence[Forward | None] = (
            faster_selection(module),
            faster_selection(module, folded_weights=False),
            faster_residual(module),
            faster_recurrent(module, stateless=path in stateless),
        )
        if found := [form for form in forms if form is not None]:
            yield path, found


def _prove(
    path: str,
    forms: Sequence[Forward],
    worst: dict[Forward, float],
    errors: dict[str, Exception],
    *,
    first_only: bool,
) -> Callable[..., None]:
    """Return a hook that runs the faster forms after the module, and records each one's largest difference."""

    def compare(_module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> None:
        expected = output[:1] if first_only else output
        for form in forms:
            try:
                found = form(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the original module still works
                errors.setdefault(path, error)
                worst[form] = float("inf")
                continue
            worst[form] = max(worst.get(form, 0.0), distance(expected, found[:1] if first_only else found))

    return compare


def _tell(unequal: Mapping[str, float], errors: Mapping[str, Exception]) -> None:
    """Warn in one line each of modules that are not rewritten, and of faster forms that fail."""
    for path, error in list(errors.items())[:1]:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        tell_error(log, f"a faster form of {path} fails on the sample windows{more}", error)
    if rest := {path: apart for path, apart in unequal.items() if path not in errors}:
        path, apart = max(rest.items(), key=lambda pair: pair[1])
        more = f", as {len(rest) - 1} more do" if len(rest) > 1 else ""
        listed = "\n".join(f"{path} differs by {apart:.2g}" for path, apart in rest.items())
        line = f"{path} runs as it is, since its faster form differs by {apart:.2g} on the sample windows{more}"
        tell(log, line, listed if more else "")


def distance(expected: Any, found: Any) -> float:
    """Return the largest difference of two outputs, relative to each tensor's largest number (or 1 if smaller).

    Infinite if they differ in structure or shape.
    """
    if isinstance(expected, Tensor) and isinstance(found, Tensor) and expected.shape == found.shape:
        numbers = ~expected.isnan()  # skipped modules return NaN
        if not torch.equal(numbers, ~found.isnan()):
            return float("inf")
        expected, found = expected[numbers], found[numbers]
        if not expected.numel():
            return 0.0
        return float((expected - found).abs().max()) / max(1.0, float(expected.abs().max()))
    if isinstance(expected, tuple) and isinstance(found, tuple) and len(expected) == len(found):
        return max((distance(*pair) for pair in zip(expected, found, strict=True)), default=0.0)
    return 0.0 if expected is None and found is None else float("inf")

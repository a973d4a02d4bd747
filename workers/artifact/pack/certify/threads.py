"""Check whether a model's forwards may run concurrently, or write state on the model that another forward overwrites.

In: a trained model, and the embedder that will be packed. Out: `Threads`. Knows no file.

The test does not depend on chance: at places all over a forward, another thread runs a whole forward of other windows.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from undertow.artifact.format.certificate import Threads
from undertow.core.embedder import Embedder
from undertow.schemas.windows import WindowBatch

PLACES = 16
"""At how many places of a forward the other one runs. A choice: this many forwards of a few windows are cheap."""
_OWN = frozenset(vars(nn.Module()))
"""Attributes of every module, which belong to torch and not to the model."""


def look_at_threads(
    embedder: Embedder, model: nn.Module, run: Callable[[], object], windows: WindowBatch, others: WindowBatch
) -> Threads:
    """Watch what a forward of the trained model (`run`) writes, and compare concurrent forwards of the embedder.

    The embedder must not serialise its forwards. Discard it afterwards, since it remembers batches that failed.
    """
    if not embedder.is_threadsafe:  # the forwards would deadlock
        message = "expected an embedder whose forwards run at once, to see whether they may"
        raise ValueError(message)
    before = _state(model)
    run()
    after = _state(model)
    writes = tuple(name for name in after if name not in before or not _is_same(before[name], after[name]))
    return Threads(agree=_agree(embedder, windows, others), writes=writes)


def _agree(embedder: Embedder, windows: WindowBatch, others: WindowBatch) -> bool:
    """Return whether the windows have the same vectors while another thread embeds others."""
    with _Between(0, lambda: None) as between:
        alone = _embed(embedder, windows)
    with ThreadPoolExecutor(1) as pool:

        def embed_others() -> None:
            pool.submit(embedder.embed, others).result()

        with _Between(-(-between.operations // PLACES), embed_others):
            together = _embed(embedder, windows)
    return alone.keys() == together.keys() and all(np.array_equal(alone[name], together[name]) for name in alone)


def _embed(embedder: Embedder, windows: WindowBatch) -> Mapping[str, NDArray[Any]]:
    """Return the vectors; nothing if a window fails."""
    try:
        embedded = embedder.embed(windows)
    except Exception:  # noqa: BLE001 - a model whose state was overwritten may raise anything
        return {}
    return {} if embedded.faults else embedded.embeddings.features


class _Between(TorchFunctionMode):
    """Counts the operations of this thread's forward, and acts after every `every`th one of them."""

    def __init__(self, every: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._every, self._act = every, act
        self.operations = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        if self._every and self.operations % self._every == 0:
            self._act()
        return result


def _state(model: nn.Module) -> dict[str, tuple[object, int]]:
    """Return each module's attributes except for parameters and submodules, by name, with the version of a tensor."""
    return {name: (value, _version(value)) for name, value in _attributes(model)}


def _attributes(model: nn.Module) -> Iterator[tuple[str, object]]:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in _OWN:
                yield ".".join(filter(None, (path, name))), value
    yield from model.named_buffers()


def _version(value: object) -> int:
    """Return how often a tensor was written in place, if it counts that; otherwise 0."""
    if isinstance(value, Tensor):
        return 0 if value.is_inference() else value._version  # noqa: SLF001 - torch has no public name for it
    return len(value) if isinstance(value, list | dict | set) else 0


def _is_same(before: tuple[object, int], after: tuple[object, int]) -> bool:
    if before[1] != after[1]:
        return False
    return before[0] is after[0] or (isinstance(after[0], bool | int | float | str) and before[0] == after[0])

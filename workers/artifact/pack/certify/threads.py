"""Whether a model's forwards may run in several threads at once, or keep on the model what another one overwrites.

In: a trained model, and the embedder of what will be packed. Out: `Threads`. Knows no file.

A race is not waited for: at places all over a forward, another thread runs a whole forward of other windows.
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
"""So many forwards more, of a handful of windows each, are what this may cost."""
_OWN = frozenset(vars(nn.Module()))
"""Attributes of every module: what torch keeps there is not the model's."""


def look_at_threads(
    embedder: Embedder, model: nn.Module, run: Callable[[], object], windows: WindowBatch, others: WindowBatch
) -> Threads:
    """Look at a forward of the trained model, `run`, and at two of the embedder's at once, of two batches.

    The embedder must be one whose forwards do not wait for each other, and may be changed by what happens: it remembers
    which batches failed.
    """
    if not embedder.is_threadsafe:  # one would wait for the other for ever
        message = "expected an embedder whose forwards run at once, to see whether they may"
        raise ValueError(message)
    before = _state(model)
    run()
    after = _state(model)
    writes = tuple(name for name in after if name not in before or not _is_same(before[name], after[name]))
    return Threads(agree=_agree(embedder, windows, others), writes=writes)


def _agree(embedder: Embedder, windows: WindowBatch, others: WindowBatch) -> bool:
    """Tell whether the windows have the same vectors while another thread embeds others."""
    with _Between(0, lambda: None) as between:
        alone = _embed(embedder, windows)
    with ThreadPoolExecutor(1) as pool:

        def embed_others() -> None:
            pool.submit(embedder.embed, others).result()

        with _Between(-(-between.operations // PLACES), embed_others):
            together = _embed(embedder, windows)
    return alone.keys() == together.keys() and all(np.array_equal(alone[name], together[name]) for name in alone)


def _embed(embedder: Embedder, windows: WindowBatch) -> Mapping[str, NDArray[Any]]:
    """Return the vectors; none where a window fails, or all of them."""
    try:
        embedded = embedder.embed(windows)
    except Exception:  # noqa: BLE001 - whatever a model raises whose state was overwritten
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
    """Return what each module holds beside its parameters and modules, by name, with the version of a tensor."""
    return {name: (value, _version(value)) for name, value in _attributes(model)}


def _attributes(model: nn.Module) -> Iterator[tuple[str, object]]:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in _OWN:
                yield ".".join(filter(None, (path, name))), value
    yield from model.named_buffers()


def _version(value: object) -> int:
    """Return how often it was written in place, as far as it tells."""
    if isinstance(value, Tensor):
        return 0 if value.is_inference() else value._version  # noqa: SLF001 - torch has no public name for it
    return len(value) if isinstance(value, list | dict | set) else 0


def _is_same(before: tuple[object, int], after: tuple[object, int]) -> bool:
    if before[1] != after[1]:
        return False
    return before[0] is after[0] or (isinstance(after[0], bool | int | float | str) and before[0] == after[0])

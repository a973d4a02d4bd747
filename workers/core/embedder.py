"""From windows to embeddings: exact inputs, one forward as far as the deepest tap, pooling, a check of every row.

In: a model, its tapped features, its preprocessing; then `WindowBatch`es. Out: `Embedded`. Knows no file and no store.
"""

import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from undertow.core.embedding import Embedded
from undertow.core.errors import Refused, Unavailable
from undertow.core.features import TappedFeature
from undertow.core.forwards import ModelInputs, RowIndex, cut, select, to_tensors
from undertow.core.inputs import build_inputs
from undertow.core.memory import StepBudget, free, is_short_of_memory
from undertow.core.pooling import align, pool
from undertow.core.preprocessing import Preprocessing
from undertow.core.reduction import Reduction, check_reductions, reduce
from undertow.core.taps import Call, Taps
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Fault
from undertow.schemas.windows import WindowBatch
from undertow.schemas.wording import counted

CPU_STEPS, GPU_STEPS = 8_192, 1 << 20
"""The most windows times steps in one forward pass: what fits in a core's cache, and what keeps a GPU busy."""

LEAST_WINDOWS = 4
"""The fewest windows in a forward on the CPU; smaller batches are filled up with copies. Matrix products sum in one
order for 4 rows or more, and in other orders for fewer: a window alone differed by 2e-7 to 2e-6 from the same window in
a batch, and not at all with three copies of itself."""

ALONE = 32
"""When more windows than this have non-finite vectors, only this many, evenly spread, are retried alone at first; the
others follow only if one of them improved. Otherwise a batch full of bad windows would take several times as long for
nothing. 32 is a choice."""

VectorsByFeature = dict[str, NDArray[np.float32]]
ENDINGS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Requests to end the program, which pass through. Anything else that a model raises is treated as its error, even a
`BaseException` from native bindings (pyo3's PanicException)."""
Blame = tuple[str, str]
"""(reason, detail): the reason is a code of `undertow.schemas.records.REASONS`."""


class Embedder:
    """One model on one device. `embed` may be called by several threads; `close` takes the hooks off the model."""

    def __init__(
        self,
        *,
        model: nn.Module,
        features: Sequence[TappedFeature],
        preprocessing: Preprocessing,
        space: str,
        sample: WindowBatch,
        device: torch.device | None = None,
        call: Call | None = None,
        reductions: Mapping[str, Reduction] | None = None,
        is_threadsafe: bool = False,
        max_windows: int | None = None,
    ) -> None:
        """Register the hooks on the model.

        `sample`: windows known to be good. When a window fails alone, running them shows whether the model is at fault.
        `call`: how to call the model if it does not take the inputs as they are built.
        `reductions`: the fitted PCA of each feature that has one.
        `is_threadsafe`: whether concurrent forwards were seen not to disturb each other; if not, a lock serialises
        them.
        `max_windows`: the most windows that one forward takes, if the model has such a limit.
        """
        self._device = device or torch.device("cpu")
        self._taps = Taps(model.to(self._device), [one.feature.tap for one in features], call)
        self._features = tuple(features)
        self._reductions = {name: one.to(self._device) for name, one in (reductions or {}).items()}
        check_reductions(self._features, self._reductions)
        self._preprocessing = preprocessing
        self._space = space
        self._sample = sample
        self._room = StepBudget(GPU_STEPS if self._device.type == "cuda" else CPU_STEPS)
        self._max_windows = max_windows
        self._least = 1 if self._device.type == "cuda" else LEAST_WINDOWS
        # Without contention the lock costs 0.1 us. A replica never contends: each of its threads has its own embedder.
        self._turn: AbstractContextManager[object] = nullcontext() if is_threadsafe else threading.Lock()

    @property
    def is_threadsafe(self) -> bool:
        """Whether forwards of several threads run at once."""
        return isinstance(self._turn, nullcontext)

    @property
    def max_windows(self) -> int | None:
        """The most windows that one forward takes; None if no batch was found to be too large."""
        return self._max_windows

    def embed(self, windows: WindowBatch) -> Embedded:
        """Embed the windows; those that cannot be embedded become faults.

        A window becomes a fault for lack of memory or for non-finite numbers only after it failed alone. Raises
        `Unavailable` if there is not even memory for the sample windows.
        """
        try:
            built = build_inputs(windows, self._preprocessing)
        except MemoryError as error:
            message = (
                f"no memory for the inputs of {counted(len(windows), 'window')}; free some, or let fewer come at once"
            )
            raise Unavailable(message) from error
        lengths: RowIndex = built.x["encoder_lengths"]
        vectors = {one.name: np.zeros((len(lengths), one.size), np.float32) for one in self._features}
        blamed: dict[int, Fault] = {}
        in_company = np.zeros(len(lengths), bool)
        for chunk in cut(lengths, self._room.steps, self._max_windows):
            for rows, outcome in self._attempt(built.x, chunk, self._least):
                if isinstance(outcome, tuple):
                    reason, detail = outcome
                    blamed[int(rows[0])] = Fault(row=int(built.rows[rows[0]]), reason=reason, detail=detail)
                else:
                    in_company[rows] = len(rows) > 1
                    for name, array in outcome.items():
                        vectors[name][rows] = array
        self._look_alone(built.x, np.flatnonzero(~_finite(vectors) & in_company), vectors)
        for row in np.flatnonzero(~_finite(vectors)).tolist():
            blamed[row] = Fault(row=int(built.rows[row]), reason="not-finite", detail=self._not_finite(row, vectors))
        return self._embedded(windows, built.rows, vectors, blamed, built.faults)

    def close(self) -> None:
        """Take the hooks off the model. Idempotent."""
        self._taps.close()

    def _embedded(
        self,
        windows: WindowBatch,
        rows: RowIndex,
        vectors: VectorsByFeature,
        blamed: Mapping[int, Fault],
        faults: tuple[Fault, ...],
    ) -> Embedded:
        if blamed:
            good = np.setdiff1d(np.arange(len(rows)), np.fromiter(blamed, np.int64, len(blamed)))
            rows, vectors = rows[good], {name: array[good] for name, array in vectors.items()}
        everything = len(rows) == len(windows)
        return Embedded(
            embeddings=EmbeddingBatch(
                space=self._space,
                series={name: ids if everything else ids[rows] for name, ids in windows.series.items()},
                event_us=windows.end_us if everything else windows.end_us[rows],
                created_us=np.zeros(len(rows), np.int64),
                features=vectors,
            ),
            rows=rows,
            faults=tuple(sorted((*faults, *blamed.values()), key=lambda fault: fault.row)),
        )

    def _look_alone(self, x: ModelInputs, rows: RowIndex, vectors: VectorsByFeature) -> None:
        """Embed windows with non-finite vectors again, alone: in a batch, one window's NaN may spread to others."""
        first = rows[np.unique(np.linspace(0, len(rows) - 1, min(ALONE, len(rows))).astype(np.int64))]
        for some in (first, np.setdiff1d(rows, first)):
            helped = False
            for row in some:
                ((lone, outcome),) = self._attempt(x, np.array([row]), self._least)
                if not isinstance(outcome, tuple) and _finite(outcome).all():
                    helped = True
                    for name, array in outcome.items():
                        vectors[name][lone] = array
            if not helped:
                return

    def _attempt(
        self, x: ModelInputs, rows: RowIndex, least: int
    ) -> Iterator[tuple[RowIndex, VectorsByFeature | Blame]]:
        """Yield the rows' vectors. Halve a batch that fails, down to single rows, which yield the reason instead."""
        try:
            vectors = self._forward(x, rows, least)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever one window makes a model raise must not stop the stream
            blame, is_short = _blame(error), is_short_of_memory(error)
        else:
            self._room.fitted()
            yield rows, vectors
            return
        # Outside of the except block, since the error's traceback would keep the failed forward's tensors alive.
        if is_short:
            free(self._device)
        if len(rows) < least and (is_short or len(rows) == 1):
            yield from self._without_copies(x, rows, may_go_on=not is_short)
        elif len(rows) > 1:
            if is_short:
                self._room.lower(int(x["encoder_lengths"][rows].max()) * len(rows))
            yield from self._halve(x, rows, least, may_be_too_many=not is_short)
        elif is_short:
            yield rows, self._once_more(x, rows)
        else:
            self._forward_sample()
            yield rows, blame

    def _halve(
        self, x: ModelInputs, rows: RowIndex, least: int, *, may_be_too_many: bool
    ) -> Iterator[tuple[RowIndex, VectorsByFeature | Blame]]:
        """Try both halves. If no window fails alone, the batch was too large: remember how many windows fit."""
        for half in np.array_split(rows, 2):
            for part, outcome in self._attempt(x, half, least):
                may_be_too_many &= not isinstance(outcome, tuple)
                yield part, outcome
        if may_be_too_many:  # a forward in chunks, or one of so many windows
            self._max_windows = min(self._max_windows or len(rows), -(-len(rows) // 2))

    def _without_copies(
        self, x: ModelInputs, rows: RowIndex, *, may_go_on: bool
    ) -> Iterator[tuple[RowIndex, VectorsByFeature | Blame]]:
        """Try a few windows without filling up with copies, and keep to that if it helps: a model may take only one."""
        for part, outcome in self._attempt(x, rows, 1):
            if may_go_on and not isinstance(outcome, tuple):
                self._least = 1
            yield part, outcome

    def _once_more(self, x: ModelInputs, rows: RowIndex) -> VectorsByFeature | Blame:
        """Retry a single window that ran out of memory, after the sample windows were seen to fit.

        The sample has the longest windows there are, so a general shortage of memory never blames one window.
        """
        gc.collect()  # a failed forward may leave tensors in reference cycles
        try:
            self._forward_sample()
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_short_of_memory(error):
                raise
            message = f"{self._device} has no memory for the forward of one window; free some, or use another device"
            raise Unavailable(message) from error
        try:
            return self._forward(x, rows, 1)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - as in `_attempt`
            return _blame(error)

    def _forward_sample(self) -> None:
        """Run the sample windows one by one; if the model fails even on these, raise its own error."""
        sample = build_inputs(self._sample, self._preprocessing)
        for row in {0, len(sample.rows) - 1}:
            self._forward(sample.x, np.array([row]), 1)

    def _forward(self, x: ModelInputs, rows: RowIndex, least: int) -> VectorsByFeature:
        """Run the model on these rows, filled up to `least` with copies of the last one."""
        count = len(rows)
        if count < least:
            rows = np.concatenate([rows, np.repeat(rows[-1:], least - count)])
        lengths = x["encoder_lengths"][rows]
        width = int(lengths.max())
        tensors = to_tensors(select(x, rows, width), self._device)
        valid = None if int(lengths.min()) == width else tensors["encoder_lengths"]
        with self._turn, torch.inference_mode():
            hidden = self._taps.run(tensors)
            return {
                one.name: self._pool(one, *align(hidden[one.feature.tap], one.layout, valid, width), len(rows))[:count]
                for one in self._features
            }

    def _pool(self, one: TappedFeature, hidden: Tensor, steps: Tensor | None, rows: int) -> NDArray[np.float32]:
        pooled = pool(hidden, one.feature.pools, steps)
        if pooled.shape != (rows, one.layout.size):
            message = (
                f"expected {one.layout.size} dimensions of {one.name} ({one.feature}) for each of {rows} windows, as "
                f"when the artifact was packed, found the shape {tuple(pooled.shape)}"
            )
            raise Refused(message)
        vectors: NDArray[np.float32] = reduce(pooled, one.feature, self._reductions.get(one.name)).cpu().numpy()
        return vectors

    def _not_finite(self, row: int, vectors: VectorsByFeature) -> str:
        where = {one.name: one.feature for one in self._features if not np.isfinite(vectors[one.name][row]).all()}
        return "expected finite numbers, found others in " + ", ".join(f"{name} ({tap})" for name, tap in where.items())


def _blame(error: BaseException) -> Blame:
    """Say why a single window has no vector: the model raised, or took a branch that does not reach the tap."""
    if isinstance(error, Refused):
        return "tap", f"the model takes another way with this window: {error}"
    if is_short_of_memory(error):
        return "memory", f"no memory for this window alone, tried twice, while others found some: {_named(error)}"
    return "inputs", f"the model fails on this window: {_named(error)}"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _finite(vectors: VectorsByFeature) -> NDArray[np.bool_]:
    """Return (n,) whether all numbers of a row are finite."""
    found: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(one).all(axis=1) for one in vectors.values()])
    return found

"""Try an embedder on large batches, and on odd windows among others.

In: an embedder, the contract and preprocessing of its windows. Out: `Batches`; or a refusal. Knows no file. The cost is
bounded by the number of steps that are embedded, whatever sizes are asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from undertow.artifact.dry_runs.sample import GOLDEN, SAMPLES, sample_lengths, sample_ranges, sample_windows
from undertow.artifact.format.certificate import Batches, OddWindows
from undertow.artifact.pack.certify.whole import MOST_OPEN, RoundingBound, distance
from undertow.core.embedder import CPU_STEPS, Embedder
from undertow.core.errors import Refused
from undertow.core.preprocessing import Preprocessing
from undertow.schemas.contract import InputContract
from undertow.schemas.windows import Values, WindowBatch

MOST_STEPS = 4 * CPU_STEPS
"""The most steps in a batch of windows of all lengths: about 2 s for a model that takes 50 us for each step."""
FAR = 1_000.0
"""How far away the far numbers are, as a multiple of the spread of usual ones. A choice."""
PARTS = ("past", "future", "static")
GREATEST = float(np.finfo(np.float32).max)


def try_batches(
    embedder: Embedder,
    contract: InputContract,
    preprocessing: Preprocessing,
    sizes: Sequence[int],
    tolerance: float,
    openness: RoundingBound,
) -> Batches:
    """Embed batches of these sizes, with odd windows among them, and each odd window alone. Raises `Refused`.

    Batches hold windows of all lengths, except for the largest, which holds the shortest windows: so it puts the most
    windows into one forward.
    """
    least = np.full(SAMPLES, contract.min_length)
    mixed, shortest = (sample_windows(contract, preprocessing, one) for one in (sample_lengths(contract), least))
    odd = dict(_odd_windows(mixed.take(np.zeros(1, np.int64)), contract, preprocessing))
    tried = set[int]()
    for rank, size in enumerate(sorted(set(sizes))):
        is_largest = rank > 0
        windows, most = (shortest, CPU_STEPS) if is_largest else (mixed, MOST_STEPS)
        count = max(SAMPLES, min(size, most // int(windows.lengths.max())))
        company = WindowBatch.concat([*odd.values()]) if odd and not is_largest else None
        _compare_company(embedder, windows, count, company, tolerance, openness)
        tried.add(count)
    return Batches(
        sizes=tuple(sorted({1, SAMPLES, *tried})),
        max_windows=embedder.max_windows,
        odd=tuple(OddWindows(kind=kind, outcome=_outcome(embedder, one, mixed)) for kind, one in odd.items()),
    )


def _compare_company(
    embedder: Embedder,
    windows: WindowBatch,
    count: int,
    company: WindowBatch | None,
    tolerance: float,
    openness: RoundingBound,
) -> None:
    """Refuse a model whose windows have other vectors in a batch of `count`, or among the odd windows of `company`."""
    expected = embedder.embed(windows).embeddings.features
    picked = (np.modf(np.arange(count) * GOLDEN)[0] * len(windows)).astype(np.int64)  # in no period of a chunk
    batch = windows.take(picked)
    found = embedder.embed(batch if company is None else WindowBatch.concat([batch, company]))
    ours = found.rows < count
    for name, array in expected.items():
        vectors = found.embeddings.features[name][ours]
        kept = found.rows[ours]
        apart = distance(array[picked[kept]], vectors) if len(kept) == count else np.inf
        if apart <= tolerance or apart <= tolerance + 2 * openness.of(name):
            continue
        faults = [fault.detail for fault in found.faults if fault.row < count]
        seen = faults[0] if faults else f"it differs by up to {apart:.2g} of the largest number"
        beside = "" if company is None else ", among windows of zeros, of one number and of great numbers"
        message = (
            f"the feature {name}: a sample window is embedded otherwise in a batch of {count}{beside}, than in one of "
            f"{len(windows)}: {seen}; choose another tap (undertow taps)"
        )
        raise Refused(message)


def _outcome(embedder: Embedder, odd: WindowBatch, others: WindowBatch) -> str:
    """Say what happens to an odd window; return an empty text if it has the same vector alone and among others."""
    alone = embedder.embed(odd)
    if alone.faults:
        return f"refused ({alone.faults[0].reason})"
    among = embedder.embed(WindowBatch.concat([odd, others]))
    if 0 not in among.rows:
        return "embedded alone, and refused among others"
    apart = max(
        distance(array, among.embeddings.features[name][:1]) for name, array in alone.embeddings.features.items()
    )
    return "" if apart <= MOST_OPEN else f"embedded otherwise among others, by {apart:.1g}"


def _odd_windows(
    usual: WindowBatch, contract: InputContract, preprocessing: Preprocessing
) -> Iterator[tuple[str, WindowBatch]]:
    """Yield the window with unusual numbers in it; nothing if it holds only categories."""
    ranges = sample_ranges(preprocessing)
    real = {column.name for part in PARTS for column in getattr(contract, part) if column.is_real}
    real -= {preprocessing.time_column}  # it must count steps
    if not real:
        return

    def filled(low: float, high: float, spread: float) -> WindowBatch:
        """Alternate between low and high, in units of the spread around the middle, or as they are for spread 0."""

        def fill(name: str, usual: Values) -> Values:
            least, most = ranges.get(name, (0.1, 0.9))
            middle, unit = ((least + most) / 2, spread * (most - least)) if spread else (0.0, 1.0)
            ends = np.where(np.arange(usual.size) % 2 == 0, middle + high * unit, middle + low * unit)
            return np.where(np.isnan(usual.astype(np.float64)), np.nan, ends.reshape(usual.shape))

        def fill_all(columns: Mapping[str, Values]) -> dict[str, Values]:
            return {name: fill(name, values) if name in real else values for name, values in columns.items()}

        return replace(usual, past=fill_all(usual.past), future=fill_all(usual.future), static=fill_all(usual.static))

    yield "zeros", filled(0.0, 0.0, 0.0)
    yield "one number", filled(0.0, 0.0, 1.0)
    yield f"numbers {FAR:,.0f} spreads away", filled(-FAR, FAR, 1.0)
    yield "the greatest numbers", filled(-GREATEST, GREATEST, 0.0)

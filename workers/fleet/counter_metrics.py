"""The metrics of the counters: definitions and readings, derived from the fields of `undertow.stream.counts.Counts`.

In: counts. Out: definitions of metrics, and their present values. Knows no exporter.

Every counter is shown from 0 on, since a time series that starts at its first loss shows no increase. A histogram is
one counter for each `le`, since Ray's own needs one call per observation, which is one per window.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from undertow.stream import histogram
from undertow.stream.counts import Counts, Shown

COUNTERS: Mapping[str, Shown] = {one.name: one.metadata["shown"] for one in fields(Counts) if "shown" in one.metadata}
"""The counters that have a metric, by their names in `Counts`."""
LATENCY_EDGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of one metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def in_ray(self) -> str:
        """Its name for Ray; Prometheus shows it with the prefix `ray_`."""
        return self.name if self.kind == "gauge" else f"{self.name}_total"


@dataclass(frozen=True, slots=True)
class MetricValue:
    """The present value of one metric; a counter's is its total since the process began."""

    name: str
    value: float
    labels: Mapping[str, str]


def definition_of(prefix: str, counter: str, labels: tuple[str, ...], meaning: str = "") -> Definition:
    """Return the definition of a counter's metric; `labels` are those of all that is counted together."""
    shown = COUNTERS[counter]
    return Definition(
        name=_name(prefix, counter),
        kind="histogram" if shown.label == "le" else "counter",
        unit=shown.unit,
        labels=(*labels, shown.label) if shown.label else labels,
        meaning=meaning or shown.meaning,
    )


def readings_of(prefix: str, counter: str, counts: Counts, labels: Mapping[str, str]) -> Iterator[MetricValue]:
    """Yield the present values of a counter's metric."""
    shown, count = COUNTERS[counter], getattr(counts, counter)
    if not shown.label:
        yield MetricValue(_name(prefix, counter), count, labels)
        return
    if isinstance(count, np.ndarray):
        by_value = _within_edges(count)
    elif shown.label == "le":
        by_value = _within_sizes(count)
    elif isinstance(count, Mapping):
        by_value = {value: count.get(value, 0) for value in sorted({*shown.values, *count})}
    else:
        by_value = dict.fromkeys(shown.values, count)
    for value, number in by_value.items():
        yield MetricValue(_name(prefix, counter), number, {**labels, shown.label: value})


def _name(prefix: str, counter: str) -> str:
    return f"{prefix}_{COUNTERS[counter].name or counter}"


def _within_sizes(batches: Mapping[int, int]) -> dict[str, float]:
    """Return how many deliveries had at most so many windows, by powers of two."""
    within = {str(2**n): sum(count for size, count in batches.items() if size <= 2**n) for n in range(17)}
    return {**within, "+Inf": sum(batches.values())}


def _within_edges(latency: NDArray[np.int64]) -> dict[str, float]:
    """Return how many windows took at most so many seconds."""
    below = np.cumsum(latency)
    # The bucket that the edge falls into counts as slower: the metric is never better than the truth.
    whole = np.searchsorted(histogram.EDGES_S, np.array(LATENCY_EDGES_S) * (1 + 1e-9), side="right") - 1
    within = {str(edge): float(below[bucket]) for edge, bucket in zip(LATENCY_EDGES_S, whole, strict=True)}
    return {**within, "+Inf": float(below[-1])}

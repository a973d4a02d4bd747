"""The counters of one artifact's stream in one replica, and their sums over artifacts or replicas.

In: nothing. Out: frozen plain data that travels between processes. Knows neither Ray nor Kafka.
"""

from collections import ChainMap, Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.records import Partition
from undertow.stream import histogram
from undertow.stream.quarantine_reader import InFlight

K = TypeVar("K", bound=Hashable)
P = TypeVar("P", bound="Progress")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Progress:
    """The state of one stream, or the sum of several. Counts are since they began."""

    held: frozenset[Partition] = frozenset()
    """The partitions it reads: nobody else may yet."""
    lag: Mapping[Partition, int] = field(default_factory=dict)
    records: int = 0
    windows: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict)
    last_reject: Mapping[str, str] = field(default_factory=dict)
    """The place of the last reject of each reason, as topic-partition@offset."""
    ignored_columns: int = 0
    odd_times: int = 0
    """Windows accepted with an implausible event time."""
    clock_ahead: int = 0
    """Windows that were readable before their record's timestamp."""
    offsets: int = 0
    """Offsets read from the source."""
    lost: int = 0
    store_losses: int = 0
    """How often the online store was found to have lost data."""
    checkpoints: int = 0
    retries: int = 0
    blocked: str | None = None
    latency: NDArray[np.int64] = field(default_factory=histogram.empty)
    """End-to-end latency (append to readable), in the buckets of `undertow.stream.histogram`."""
    poll_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0
    checkpoint_s: float = 0.0
    batches: Mapping[int, int] = field(default_factory=dict)
    """By n, the number of deliveries with more than 2**(n - 1) and at most 2**n windows."""
    durable_at: float | None = None
    """When everything read was last durable, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArtifactStatus(Progress):
    """The streams of one artifact."""

    artifact: str
    """The name of its view: `<name>__<space8>`."""
    ends: Mapping[Partition, tuple[int, int]] = field(default_factory=dict)
    """By partition held: the end of its chain, and the next offset to read."""
    in_flight: InFlight = field(default_factory=InFlight)


def together(parts: Sequence[Progress]) -> Progress:
    """Sum over streams: of several artifacts in one replica, or of one artifact in several replicas.

    A partition's lag is that of the stream which is furthest behind; `held` is the union.
    """
    lag: dict[Partition, int] = {}
    for part in parts:
        lag |= {partition: max(behind, lag.get(partition, 0)) for partition, behind in part.lag.items()}
    return Progress(
        held=frozenset().union(*(part.held for part in parts)),
        lag=lag,
        records=sum(part.records for part in parts),
        windows=sum(part.windows for part in parts),
        rejects=_add_up(part.rejects for part in parts),
        last_reject=dict(ChainMap(*(dict(part.last_reject) for part in parts))),
        ignored_columns=sum(part.ignored_columns for part in parts),
        odd_times=sum(part.odd_times for part in parts),
        clock_ahead=sum(part.clock_ahead for part in parts),
        offsets=sum(part.offsets for part in parts),
        lost=sum(part.lost for part in parts),
        store_losses=sum(part.store_losses for part in parts),
        checkpoints=sum(part.checkpoints for part in parts),
        retries=sum(part.retries for part in parts),
        blocked=next((told for part in parts if (told := part.blocked)), None),
        latency=sum((part.latency for part in parts), histogram.empty()),
        poll_s=sum(part.poll_s for part in parts),
        embed_s=sum(part.embed_s for part in parts),
        write_s=sum(part.write_s for part in parts),
        checkpoint_s=sum(part.checkpoint_s for part in parts),
        batches=_add_up(part.batches for part in parts),
        durable_at=min((part.durable_at for part in parts if part.durable_at is not None), default=None),
    )


def fields_of(progress: Progress) -> dict[str, Any]:
    """Return its fields by name, for a status that has them as well."""
    return {one.name: getattr(progress, one.name) for one in fields(Progress)}


def by_artifact(
    alive: Iterable[Sequence[ArtifactStatus]], gone: Iterable[Sequence[ArtifactStatus]]
) -> tuple[ArtifactStatus, ...]:
    """Sum each artifact over replicas; of those that have ended only the counts remain."""
    parts = [part for replica in alive for part in replica]
    parts += [at_rest(part) for replica in gone for part in replica]
    names = sorted({part.artifact for part in parts})
    return tuple(
        ArtifactStatus(artifact=name, **fields_of(together([part for part in parts if part.artifact == name])))
        for name in names
    )


def at_rest(progress: P) -> P:
    """Return the counts of a stream that no longer reads."""
    return replace(progress, held=frozenset(), lag={}, blocked=None, durable_at=None)


def _add_up(counts: Iterable[Mapping[K, int]]) -> dict[K, int]:
    total: Counter[K] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)

"""The status of one artifact's stream in one replica, and the sums over artifacts or replicas.

In: nothing. Out: frozen plain data that travels between processes. Knows neither Ray nor Kafka.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from undertow.schemas.records import Partition
from undertow.stream.counts import Counts
from undertow.stream.ports import Observed
from undertow.stream.quarantine_reader import InFlight


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Progress:
    """The state of one stream, or the sum of several."""

    held: frozenset[Partition] = frozenset()
    """The partitions it reads: nobody else may yet."""
    lag: Mapping[Partition, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    """Since it began."""
    blocked: str | None = None
    durable_at: float | None = None
    """When everything read was last durable, in seconds since the epoch."""
    observed: Observed = field(default_factory=Observed)
    """What is held of raw observations."""


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
        counts=sum((part.counts for part in parts), Counts()),
        blocked=next((told for part in parts if (told := part.blocked)), None),
        observed=sum((part.observed for part in parts), Observed()),
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
    parts += [ArtifactStatus(artifact=part.artifact, counts=part.counts) for replica in gone for part in replica]
    names = sorted({part.artifact for part in parts})
    return tuple(
        ArtifactStatus(artifact=name, **fields_of(together([part for part in parts if part.artifact == name])))
        for name in names
    )

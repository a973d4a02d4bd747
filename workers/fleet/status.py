"""The status of a replica and of a fleet.

In: nothing. Out: frozen plain data that travels between processes. Knows neither Ray nor Kafka.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from undertow.fleet.artifact_status import ArtifactStatus, Progress
from undertow.fleet.maintain_status import MaintainStatus
from undertow.schemas.records import Partition
from undertow.stream import histogram
from undertow.stream.counts import Counts
from undertow.stream.ports import Observed
from undertow.stream.quarantine_order import NO_QUARANTINE, QuarantineOrder
from undertow.stream.verdicts import EndCause
from undertow.telemetry.logs import Line, iso

ReplicaState = Literal["starting", "running", "draining", "ended"]
FleetState = Literal["starting", "running", "draining", "drained", "failed"]


@dataclass(frozen=True, slots=True, order=True)
class FleetSize:
    """The wanted number of replicas; every replica remembers it, so that a restarted controller learns it again."""

    version: int = 0
    """The higher version is the newer order."""
    replicas: int = 0
    """0 means that the fleet drains."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaStatus(Progress):
    """The status of one replica: the counts of all its streams since it began, and its state."""

    name: str
    state: ReplicaState
    pid: int = 0
    node: str = ""
    ray_node: str = ""
    """Ray's id of its node."""
    wanted: frozenset[Partition] = frozenset()
    """The partitions the controller last assigned to it."""
    size: FleetSize = FleetSize()
    """The fleet's size as the controller last told it."""
    quarantine: QuarantineOrder = NO_QUARANTINE
    """The quarantine order as the controller last gave it; a restarted controller learns it again from here."""
    hangs: str | None = None
    """Why its model's forward is taken to hang."""
    artifacts: tuple[ArtifactStatus, ...] = ()
    """By artifact, the counters that this status sums up."""
    windows_per_s: float = 0.0
    """Mean over the last ten seconds."""
    error: str | None = None
    """Why it ended, unless it was drained."""
    fault: EndCause = "none"
    """The kind of the error."""
    recent_latency: NDArray[np.int64] = field(default_factory=histogram.empty)
    """End-to-end latency over the last ten seconds."""
    lines: tuple[Line, ...] = ()
    """The newest lines of its log."""
    log: str = ""
    """The log file on its node."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetStatus:
    """The status of the whole fleet. Counts include replicas that have ended."""

    name: str
    state: FleetState
    replicas: tuple[ReplicaStatus, ...]
    wanted: int
    """The wanted number of replicas."""
    standbys: int = 0
    """The number of further replicas that are loaded and read nothing until another dies."""
    partitions: int
    counts: Counts
    failovers: int
    """Replicas that died or hung and were replaced."""
    autoscale: str | None = None
    """Why autoscaling chose the size; None where it is set by hand."""
    artifacts: tuple[ArtifactStatus, ...] = ()
    """By artifact, summed over all replicas."""
    message: str | None = None
    """Why the fleet failed or is blocked."""
    suspects: tuple[str, ...] = ()
    """Partitions that killed replicas, and how they are read since; one line each."""
    left: Observed = field(default_factory=Observed)
    """What replicas held of raw observations that a drain has ended."""
    maintained: MaintainStatus | None = None
    """How its log is maintained; None where the fleet does not do it."""
    lines: tuple[Line, ...] = ()
    """The newest lines of all logs, oldest first."""

    @property
    def unread(self) -> int:
        """Number of partitions that no replica reads now."""
        return self.partitions - len({partition for replica in self.replicas for partition in replica.held})

    @property
    def windows_per_s(self) -> float:
        """Mean over the last ten seconds."""
        return sum(replica.windows_per_s for replica in self.replicas)

    @property
    def recent_latency(self) -> NDArray[np.int64]:
        """End-to-end latency over the last ten seconds."""
        return sum((replica.recent_latency for replica in self.replicas), histogram.empty())

    @property
    def observed(self) -> Observed:
        """What all replicas hold of raw observations, or held when they were drained."""
        return sum((replica.observed for replica in self.replicas), self.left)

    @property
    def lag(self) -> int | None:
        """Offsets behind the end, over all partitions; None while some partition has no reader.

        A partition counts by the artifact that is furthest behind; an ended fleet's lag is that of `LastKnownLag`.
        """
        lags: dict[Partition, int] = {}
        for one in self.replicas or self.artifacts:
            lags |= {partition: max(behind, lags.get(partition, 0)) for partition, behind in one.lag.items()}
        return sum(lags.values()) if len(lags) == self.partitions else None

    def lag_of(self, artifact: ArtifactStatus) -> int | None:
        """Return the lag of one artifact; None while some partition has no reader."""
        return sum(artifact.lag.values()) if len(artifact.lag) == self.partitions else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `undertow status --json`; latencies in milliseconds."""
        return {
            "name": self.name,
            "state": self.state,
            "wanted_replicas": self.wanted,
            "standbys": self.standbys,
            "autoscale": self.autoscale,
            "partitions": self.partitions,
            **_shown(self.counts),
            "windows_per_s": self.windows_per_s,
            "lag": self.lag,
            "failovers": self.failovers,
            "recent_append_to_readable_ms": _percentiles(self.recent_latency),
            "message": self.message,
            "suspects": list(self.suspects),
            "observed": _held(self.observed),
            "maintained": None if self.maintained is None else self.maintained.to_json(),
            "artifacts": [
                {
                    "artifact": one.artifact,
                    "lag": self.lag_of(one),
                    "blocked": one.blocked,
                    **_shown(one.counts),
                }
                for one in self.artifacts
            ],
            "replicas": [
                {
                    "name": replica.name,
                    "state": replica.state,
                    "pid": replica.pid,
                    "node": replica.node,
                    "partitions": sorted(str(partition) for partition in replica.held),
                    "lag": sum(replica.lag.values()),
                    "lag_by_partition": {str(p): lag for p, lag in sorted(replica.lag.items())},
                    "windows": replica.counts.windows,
                    "windows_per_s": replica.windows_per_s,
                    "observed": _held(replica.observed),
                    "recent_append_to_readable_ms": _percentiles(replica.recent_latency),
                    "durable_at": None if replica.durable_at is None else iso(replica.durable_at),
                    "rejects": sum(replica.counts.rejects.values()),
                    "blocked": replica.blocked,
                    "error": replica.error,
                    "log": replica.log,
                }
                for replica in self.replicas
            ],
            "events": [
                {"time": iso(o.at), "level": o.level, "replica": o.replica, "event": o.event, "message": o.text}
                for o in self.lines
            ],
        }

    def latency_ms(self, share: float) -> float | None:
        """Return the end-to-end latency in milliseconds at this quantile, `share` from 0 to 1."""
        return milliseconds(self.counts.latency, share)


def milliseconds(latency: NDArray[np.int64], share: float) -> float | None:
    """Return this quantile of a histogram in milliseconds; None where it is empty."""
    seconds = histogram.percentile(latency, share)
    return None if seconds is None else 1000 * seconds


def _percentiles(latency: NDArray[np.int64]) -> dict[str, float | None]:
    return {f"p{share}": milliseconds(latency, share / 100) for share in (50, 99)}


def _held(observed: Observed) -> dict[str, int]:
    return {
        "series": observed.series,
        "bytes": observed.bytes,
        "file_bytes": observed.file_bytes,
        "waiting": observed.waiting,
        "waiting_series": observed.waiting_series,
    }


def _shown(counts: Counts) -> dict[str, Any]:
    """Return every counter by its name, as plain data; of the latencies the percentiles, in milliseconds."""
    found = {one.name: getattr(counts, one.name) for one in fields(counts)}
    latency = found.pop("latency")
    plain = {
        name: {str(key): number for key, number in value.items()} if isinstance(value, Mapping) else value
        for name, value in found.items()
    }
    return {**plain, "append_to_readable_ms": _percentiles(latency)}

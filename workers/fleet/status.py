"""What a replica and a fleet say of themselves.

In: nothing. Out: frozen plain data that travels between processes. Knows neither Ray nor Kafka.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.records import Partition
from workers.core import histogram

ReplicaState = Literal["starting", "running", "draining", "ended"]
FleetState = Literal["starting", "running", "draining", "drained", "failed"]


@dataclass(frozen=True, slots=True, order=True)
class FleetSize:
    """How many replicas there should be; every replica carries it, so that a restarted controller learns it again."""

    version: int = 0
    """The higher one is the newer."""
    replicas: int = 0
    """None is a fleet that drains."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaStatus:
    """One replica at one moment. Counts are since it began."""

    name: str
    state: ReplicaState
    pid: int = 0
    node: str = ""
    ray_node: str = ""
    """Ray's id of the node, by which Ray says that it is about to go."""
    wanted: frozenset[Partition] = frozenset()
    """What the controller last asked it to read."""
    size: FleetSize = FleetSize()
    """What the controller last told it of the fleet."""
    held: frozenset[Partition] = frozenset()
    """What it reads: nobody else may yet."""
    lag: Mapping[Partition, int] = field(default_factory=dict)
    windows: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict)
    ignored_columns: int = 0
    offsets: int = 0
    lost: int = 0
    checkpoints: int = 0
    retries: int = 0
    blocked: str | None = None
    error: str | None = None
    """Why it ended, unless it was drained."""
    refused: bool = False
    """Whether it ended over a setting, an artifact or a store that is not as it must be: another would end as well."""
    latency: NDArray[np.int64] = field(default_factory=histogram.empty)
    """Append to readable, in the buckets of `workers.core.histogram`."""
    poll_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0
    checkpoint_s: float = 0.0
    batches: Mapping[int, int] = field(default_factory=dict)
    """Deliveries by the power of two that their windows do not exceed."""
    durable_at: float | None = None
    """When all that it had taken was last durable, in seconds of the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FleetStatus:
    """The whole fleet at one moment. Counts include replicas that have ended."""

    name: str
    state: FleetState
    replicas: tuple[ReplicaStatus, ...]
    wanted: int
    """How many replicas there should be."""
    standbys: int = 0
    """How many more are loaded and wait for one of these to die."""
    partitions: int
    windows: int
    rejects: Mapping[str, int]
    ignored_columns: int
    lost: int
    retries: int
    failovers: int
    """Replicas that died or hung and were replaced."""
    latency: NDArray[np.int64]
    autoscale: str | None = None
    """Why it is as large as it is; None where its size is set by hand."""
    message: str | None = None
    """Why the fleet failed or is blocked."""

    @property
    def lag(self) -> int | None:
        """Offsets behind the end, over all partitions; None while some partition has no reader."""
        lags = {partition: lag for replica in self.replicas for partition, lag in replica.lag.items()}
        return sum(lags.values()) if len(lags) == self.partitions else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `undertow status --json`; latencies in milliseconds."""
        return {
            "name": self.name,
            "state": self.state,
            "wanted_replicas": self.wanted,
            "standbys": self.standbys,
            "autoscale": self.autoscale,
            "partitions": self.partitions,
            "windows": self.windows,
            "lag": self.lag,
            "rejects": dict(self.rejects),
            "ignored_columns": self.ignored_columns,
            "lost": self.lost,
            "retries": self.retries,
            "failovers": self.failovers,
            "append_to_readable_ms": {f"p{share}": self.latency_ms(share / 100) for share in (50, 99)},
            "message": self.message,
            "replicas": [
                {
                    "name": replica.name,
                    "state": replica.state,
                    "pid": replica.pid,
                    "node": replica.node,
                    "partitions": sorted(str(partition) for partition in replica.held),
                    "lag": sum(replica.lag.values()),
                    "windows": replica.windows,
                    "rejects": sum(replica.rejects.values()),
                    "blocked": replica.blocked,
                    "error": replica.error,
                }
                for replica in self.replicas
            ],
        }

    def latency_ms(self, share: float) -> float | None:
        """Append to readable in milliseconds, at a share from 0 to 1."""
        seconds = histogram.percentile(self.latency, share)
        return None if seconds is None else 1000 * seconds

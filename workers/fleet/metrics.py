"""What a fleet shows to Prometheus, by Ray's metrics agent: the definitions and their emission.

In: statuses, which are counted anyway. Out: counters and gauges, each second, from a thread beside the stream.
Knows neither Kafka nor a store, and names no entity: labels are fleet, replica, artifact, partition,
reason, stage and `le`.

A histogram goes out as one counter by `le`, added to bucket by bucket: `ray.util.metrics.Histogram` takes one call
for each observation, which is one for each window.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from ray.util.metrics import Counter, Gauge

from workers.core import histogram
from workers.fleet.artifact_status import ArtifactStatus
from workers.fleet.status import FleetStatus, ReplicaState, ReplicaStatus

log = logging.getLogger(__name__)

EVERY_S = 1.0
LATENCY_EDGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. Prometheus shows it as `ray_` and the name; a counter has `_total` at the end."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    meaning: str


_EACH = ("fleet", "replica", "artifact")
DEFINITIONS = (
    Definition("undertow_records", "counter", "records", _EACH, "read, the refused ones too"),
    Definition("undertow_windows", "counter", "windows", _EACH, "embedded and readable in the online store"),
    Definition("undertow_rejects", "counter", "records", (*_EACH, "reason"), "put among the dead letters"),
    Definition("undertow_lost", "counter", "offsets", _EACH, "deleted by retention before they were read"),
    Definition("undertow_odd_times", "counter", "windows", _EACH, "taken though before 1990 or after next year"),
    Definition("undertow_clock_ahead", "counter", "windows", _EACH, "readable before their record's timestamp"),
    Definition("undertow_lag", "gauge", "offsets", (*_EACH, "partition"), "not yet read; 0 once given away"),
    Definition("undertow_batch_windows_bucket", "histogram", "batches", (*_EACH, "le"), "with at most `le` windows"),
    Definition("undertow_stage_seconds", "counter", "seconds", (*_EACH, "stage"), "in poll, embed, write, checkpoint"),
    Definition("undertow_latency_seconds_bucket", "histogram", "windows", (*_EACH, "le"), "readable within `le` s"),
    Definition("undertow_checkpoints", "counter", "checkpoints", _EACH, "written"),
    Definition("undertow_checkpoint_age_seconds", "gauge", "seconds", _EACH, "since all that was taken was durable"),
    Definition("undertow_retries", "counter", "attempts", _EACH, "of a store or broker that did not answer"),
    Definition("undertow_blocked", "gauge", "0 or 1", _EACH, "1 while a store or broker is being retried"),
    Definition("undertow_failovers", "counter", "replicas", ("fleet",), "that died or hung and were buried"),
    Definition("undertow_replicas", "gauge", "replicas", ("fleet", "state"), "that are in this state now"),
    Definition("undertow_replicas_wanted", "gauge", "replicas", ("fleet",), "that should run, without standbys"),
    Definition("undertow_partitions_unread", "gauge", "partitions", ("fleet",), "that no replica reads now"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of one metric now; a counter's is its total since the process began."""

    name: str
    value: float
    labels: Mapping[str, str]


def replica_readings(fleet: str, status: ReplicaStatus, now: float) -> Iterator[Reading]:
    """Yield what a replica shows of each artifact at the time `now`, in seconds of the epoch."""
    for artifact in status.artifacts:
        labels = {"fleet": fleet, "replica": status.name, "artifact": artifact.artifact}
        yield from _artifact_readings(labels, artifact, now)


def _artifact_readings(own: Mapping[str, str], status: ArtifactStatus, now: float) -> Iterator[Reading]:
    yield Reading("undertow_records", status.records, own)
    yield Reading("undertow_windows", status.windows, own)
    yield Reading("undertow_lost", status.lost, own)
    yield Reading("undertow_odd_times", status.odd_times, own)
    yield Reading("undertow_clock_ahead", status.clock_ahead, own)
    yield Reading("undertow_checkpoints", status.checkpoints, own)
    yield Reading("undertow_retries", status.retries, own)
    yield Reading("undertow_blocked", float(status.blocked is not None), own)
    if status.durable_at is not None:
        age = max(0.0, now - status.durable_at) if status.held else 0.0  # who holds nothing writes no checkpoint
        yield Reading("undertow_checkpoint_age_seconds", age, own)
    for reason, count in status.rejects.items():
        yield Reading("undertow_rejects", count, {**own, "reason": reason})
    for partition, lag in status.lag.items():
        yield Reading("undertow_lag", lag, {**own, "partition": str(partition)})
    stages = {
        "poll": status.poll_s,
        "embed": status.embed_s,
        "write": status.write_s,
        "checkpoint": status.checkpoint_s,
    }
    for stage, seconds in stages.items():
        yield Reading("undertow_stage_seconds", seconds, {**own, "stage": stage})
    sizes = sorted(status.batches.items())
    for power in range(17):
        within = sum(count for bits, count in sizes if bits <= power)
        yield Reading("undertow_batch_windows_bucket", within, {**own, "le": str(2**power)})
    yield Reading("undertow_batch_windows_bucket", sum(c for _, c in sizes), {**own, "le": "+Inf"})
    below = np.cumsum(status.latency)
    for edge in LATENCY_EDGES_S:
        # The bucket that the edge falls into counts as slower: what is shown is never better than what was.
        whole = int(np.searchsorted(histogram.EDGES_S, edge * (1 + 1e-9), side="right")) - 1
        yield Reading("undertow_latency_seconds_bucket", float(below[whole]), {**own, "le": str(edge)})
    yield Reading("undertow_latency_seconds_bucket", float(below[-1]), {**own, "le": "+Inf"})


def fleet_readings(status: FleetStatus) -> Iterator[Reading]:
    """Yield what the controller shows."""
    fleet = {"fleet": status.name}
    yield Reading("undertow_failovers", status.failovers, fleet)
    for state in get_args(ReplicaState):
        count = sum(replica.state == state for replica in status.replicas)
        yield Reading("undertow_replicas", count, {**fleet, "state": state})
    yield Reading("undertow_replicas_wanted", status.wanted, fleet)
    yield Reading("undertow_partitions_unread", status.unread, fleet)


def ray_metric(definition: Definition) -> Any:
    """Make Ray's metric for a definition."""
    kind = Gauge if definition.kind == "gauge" else Counter
    return kind(definition.name, description=definition.meaning, tag_keys=definition.labels)


class Emitter:
    """Hands readings to Ray: gauges as they are, counters by what they have grown. One thread owns it."""

    def __init__(self, make: Callable[[Definition], Any] | None = None) -> None:
        """Define nothing yet: a metric without a value is not shown. `make` returns what is set or added to."""
        self._make = make or ray_metric
        self._metrics: dict[str, Any] = {}
        self._before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def emit(self, readings: Iterator[Reading]) -> None:
        """Show these; a partition's lag that is no longer among them is shown as 0."""
        seen = set()
        for reading in readings:
            key = (reading.name, tuple(sorted(reading.labels.items())))
            seen.add(key)
            self._show(key, reading.value)
        for key in [k for k in self._before if k[0] == "undertow_lag" and k not in seen]:
            self._show(key, 0.0)
            del self._before[key]

    def _show(self, key: tuple[str, tuple[tuple[str, str], ...]], value: float) -> None:
        name, labels = key
        definition = next(d for d in DEFINITIONS if d.name == name)
        if name not in self._metrics:
            self._metrics[name] = self._make(definition)
        if definition.kind == "gauge":
            self._metrics[name].set(value, tags=dict(labels))
        elif (grown := value - self._before.get(key, 0.0)) > 0:
            self._metrics[name].inc(grown, tags=dict(labels))
        self._before[key] = value


def emit_replica(fleet: str, status: Callable[[], ReplicaStatus]) -> None:
    """Show a replica each second from a thread of its own, which ends with the replica."""

    def show() -> None:
        emitter, rhythm, ended = Emitter(), threading.Event(), False
        while not ended:
            current = status()
            ended = current.state == "ended"
            try:
                emitter.emit(replica_readings(fleet, current, time.time()))
            except Exception:
                log.exception("metrics could not be handed to Ray; trying again")
            rhythm.wait(EVERY_S)

    threading.Thread(target=show, name="metrics", daemon=True).start()

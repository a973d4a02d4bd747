"""The Prometheus metrics of a fleet, exported by Ray's metrics agent: definitions and emission.

In: statuses. Out: counters and gauges, each second, from a thread beside the stream. Knows neither Kafka nor a store,
and exports no series id: labels are fleet, replica (its slot), artifact, partition, reason, stage and `le`.

Every counter is exported from 0 on, since a time series that starts at its first loss shows no increase. All are gauges
to Ray: its counters accept no 0, and its agent exports those of a dead process for ever (2.60), gauges for 20 s.
Prometheus computes `rate` and `increase` of either. A histogram is one counter for each `le`, since Ray's own needs one
call per observation, which is one per window.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from undertow.fleet.artifact_status import ArtifactStatus
from undertow.fleet.daemon import start_daemon
from undertow.fleet.slots import slot_of
from undertow.fleet.status import FleetStatus, ReplicaState, ReplicaStatus
from undertow.schemas.records import REASONS
from undertow.stream import histogram

LabelSet = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted."""

LAG = "undertow_lag"
EVERY_S = 1.0
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


_EACH = ("fleet", "replica", "artifact")
DEFINITIONS = (
    Definition("undertow_records", "counter", "records", _EACH, "read, the refused ones too"),
    Definition("undertow_windows", "counter", "windows", _EACH, "embedded and readable in the online store"),
    Definition("undertow_rejects", "counter", "records", (*_EACH, "reason"), "put among the dead letters"),
    Definition("undertow_lost", "counter", "offsets", _EACH, "deleted by retention before they were read"),
    Definition("undertow_store_losses", "counter", "losses", _EACH, "of the online store's data, by who saw it first"),
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
    Definition("undertow_fleet_windows", "counter", "windows", ("fleet",), "as above, of all replicas, gone ones too"),
    Definition("undertow_fleet_rejects", "counter", "records", ("fleet", "reason"), "likewise"),
    Definition("undertow_fleet_lost", "counter", "offsets", ("fleet",), "likewise"),
    Definition("undertow_failovers", "counter", "replicas", ("fleet",), "that died or hung and were buried"),
    Definition("undertow_replicas", "gauge", "replicas", ("fleet", "state"), "that are in this state now"),
    Definition("undertow_replicas_wanted", "gauge", "replicas", ("fleet",), "that should run, without standbys"),
    Definition("undertow_partitions_unread", "gauge", "partitions", ("fleet",), "that no replica reads now"),
)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """The present value of one metric; a counter's is its total since the process began."""

    name: str
    value: float
    labels: Mapping[str, str]


def replica_readings(fleet: str, status: ReplicaStatus, now: float) -> Iterator[MetricValue]:
    """Yield a replica's metrics of each artifact at the time `now`, in seconds since the epoch."""
    for artifact in status.artifacts:
        labels = {"fleet": fleet, "replica": slot_of(status.name), "artifact": artifact.artifact}
        yield from _artifact_readings(labels, artifact, now)


def _artifact_readings(own: Mapping[str, str], status: ArtifactStatus, now: float) -> Iterator[MetricValue]:
    yield MetricValue("undertow_records", status.records, own)
    yield MetricValue("undertow_windows", status.windows, own)
    yield MetricValue("undertow_lost", status.lost, own)
    yield MetricValue("undertow_store_losses", status.store_losses, own)
    yield MetricValue("undertow_odd_times", status.odd_times, own)
    yield MetricValue("undertow_clock_ahead", status.clock_ahead, own)
    yield MetricValue("undertow_checkpoints", status.checkpoints, own)
    yield MetricValue("undertow_retries", status.retries, own)
    yield MetricValue("undertow_blocked", float(status.blocked is not None), own)
    if status.durable_at is not None:
        age = max(0.0, now - status.durable_at) if status.held else 0.0  # without partitions there are no checkpoints
        yield MetricValue("undertow_checkpoint_age_seconds", age, own)
    yield from _by_reason("undertow_rejects", status.rejects, own)
    for partition, lag in status.lag.items():
        yield MetricValue(LAG, lag, {**own, "partition": str(partition)})
    stages = {
        "poll": status.poll_s,
        "embed": status.embed_s,
        "write": status.write_s,
        "checkpoint": status.checkpoint_s,
    }
    for stage, seconds in stages.items():
        yield MetricValue("undertow_stage_seconds", seconds, {**own, "stage": stage})
    sizes = sorted(status.batches.items())
    for power in range(17):
        within = sum(count for bits, count in sizes if bits <= power)
        yield MetricValue("undertow_batch_windows_bucket", within, {**own, "le": str(2**power)})
    yield MetricValue("undertow_batch_windows_bucket", sum(c for _, c in sizes), {**own, "le": "+Inf"})
    below = np.cumsum(status.latency)
    for edge in LATENCY_EDGES_S:
        # The bucket that the edge falls into counts as slower: the metric is never better than the truth.
        whole = int(np.searchsorted(histogram.EDGES_S, edge * (1 + 1e-9), side="right")) - 1
        yield MetricValue("undertow_latency_seconds_bucket", float(below[whole]), {**own, "le": str(edge)})
    yield MetricValue("undertow_latency_seconds_bucket", float(below[-1]), {**own, "le": "+Inf"})


def _by_reason(name: str, rejects: Mapping[str, int], own: Mapping[str, str]) -> Iterator[MetricValue]:
    for reason in sorted({*REASONS, *rejects}):
        yield MetricValue(name, rejects.get(reason, 0), {**own, "reason": reason})


def fleet_readings(status: FleetStatus, *, has_heard_all: bool = True) -> Iterator[MetricValue]:
    """Yield the controller's metrics; counters only once it `has_heard_all` the replicas that it found.

    A restarted controller learns the counts so far from them; they must not appear as an increase.
    """
    fleet = {"fleet": status.name}
    if has_heard_all:
        yield MetricValue("undertow_fleet_windows", status.windows, fleet)
        yield from _by_reason("undertow_fleet_rejects", status.rejects, fleet)
        yield MetricValue("undertow_fleet_lost", status.lost, fleet)
    yield MetricValue("undertow_failovers", status.failovers, fleet)
    for state in get_args(ReplicaState):
        count = sum(replica.state == state for replica in status.replicas)
        yield MetricValue("undertow_replicas", count, {**fleet, "state": state})
    yield MetricValue("undertow_replicas_wanted", status.wanted, fleet)
    yield MetricValue("undertow_partitions_unread", status.unread, fleet)


def ray_metric(definition: Definition) -> Any:
    """Create Ray's metric for a definition."""
    from ray.util.metrics import Gauge  # noqa: PLC0415  # who only reads the definitions needs no Ray

    return Gauge(definition.in_ray, description=definition.meaning, tag_keys=definition.labels)


class Emitter:
    """Exports readings through Ray. One thread owns it."""

    def __init__(self, make: Callable[[Definition], Any] = ray_metric) -> None:
        """`make` creates a metric at its first value: Ray does not export one without."""
        self._make = make
        self._metrics: dict[str, Any] = {}
        self._lags: set[LabelSet] = set()
        self._has_heard_all = False

    def emit(self, readings: Iterable[MetricValue]) -> None:
        """Export these; a partition's lag that is no longer among them is exported as 0 once more."""
        before, self._lags = self._lags, set()
        for reading in readings:
            labels = tuple(sorted(reading.labels.items()))
            self._show(reading.name, labels, reading.value)
            if reading.name == LAG:
                self._lags.add(labels)
        for labels in before - self._lags:
            self._show(LAG, labels, 0.0)

    def emit_fleet(self, status: FleetStatus) -> None:
        """Export the controller's metrics."""
        self._has_heard_all = self._has_heard_all or all(replica.pid for replica in status.replicas)
        self.emit(fleet_readings(status, has_heard_all=self._has_heard_all))

    def _show(self, name: str, labels: LabelSet, value: float) -> None:
        if name not in self._metrics:
            self._metrics[name] = self._make(next(one for one in DEFINITIONS if one.name == name))
        self._metrics[name].set(value, tags=dict(labels))


def emit_replica(fleet: str, status: Callable[[], ReplicaStatus]) -> None:
    """Export a replica's metrics each second from a thread of its own, which ends with the replica."""
    emitter = Emitter()

    def show() -> float | None:
        current = status()
        emitter.emit(replica_readings(fleet, current, time.time()))
        return None if current.state == "ended" else EVERY_S

    start_daemon("the metrics", show)

"""The Prometheus metrics of a fleet, exported by Ray's metrics agent: definitions and emission.

In: statuses. Out: counters and gauges, each second, from a thread beside the stream. Knows neither Kafka nor a store,
and exports no series id: labels are fleet, replica (its slot), artifact, partition, reason, stage and `le`.

All are gauges to Ray: its counters accept no 0, and its agent exports those of a dead process for ever (2.60), gauges
for 20 s. Prometheus computes `rate` and `increase` of either.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from undertow.fleet.artifact_status import ArtifactStatus
from undertow.fleet.counter_metrics import COUNTERS, Definition, MetricValue, definition_of, readings_of
from undertow.fleet.daemon import start_daemon
from undertow.fleet.slots import slot_of
from undertow.fleet.status import FleetStatus, ReplicaState, ReplicaStatus

LabelSet = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted."""

LAG, HELD = "undertow_lag", "undertow_held_series"
OF_PARTITIONS = frozenset({LAG, HELD})
EVERY_S = 1.0

_EACH = ("fleet", "replica", "artifact")
OF_FLEET = {"windows": "as above, of all replicas, gone ones too", "rejects": "likewise", "lost": "likewise"}
"""The counters that the controller exports as well, and their meaning there."""
DEFINITIONS = (
    *dict.fromkeys(definition_of("undertow", name, _EACH) for name in COUNTERS),
    Definition("undertow_lag", "gauge", "offsets", (*_EACH, "partition"), "not yet read; 0 once given away"),
    Definition("undertow_checkpoint_age_seconds", "gauge", "seconds", _EACH, "since all that was taken was durable"),
    Definition(
        "undertow_held_series",
        "gauge",
        "series",
        (*_EACH, "partition"),
        "whose observations are held; 0 once given away",
    ),
    Definition("undertow_held_bytes", "gauge", "bytes", _EACH, "of memory, for what is held of observations"),
    Definition("undertow_held_file_bytes", "gauge", "bytes", _EACH, "likewise, in files (`windows.held_path`)"),
    Definition("undertow_waiting_observations", "gauge", "observations", _EACH, "whose grid points are not closed yet"),
    Definition("undertow_blocked", "gauge", "0 or 1", _EACH, "1 while a store or broker is being retried"),
    *(definition_of("undertow_fleet", name, ("fleet",), meaning) for name, meaning in OF_FLEET.items()),
    Definition("undertow_failovers", "counter", "replicas", ("fleet",), "that died or hung and were buried"),
    Definition("undertow_replicas", "gauge", "replicas", ("fleet", "state"), "that are in this state now"),
    Definition("undertow_replicas_wanted", "gauge", "replicas", ("fleet",), "that should run, without standbys"),
    Definition("undertow_partitions_unread", "gauge", "partitions", ("fleet",), "that no replica reads now"),
    Definition(
        "undertow_maintained_age_seconds", "gauge", "seconds", ("fleet",), "since the log was last maintained whole"
    ),
    Definition("undertow_folded_rows", "counter", "rows", ("fleet",), "that the fleet put into the table of history"),
)


def replica_readings(fleet: str, status: ReplicaStatus, now: float) -> Iterator[MetricValue]:
    """Yield a replica's metrics of each artifact at the time `now`, in seconds since the epoch."""
    for artifact in status.artifacts:
        labels = {"fleet": fleet, "replica": slot_of(status.name), "artifact": artifact.artifact}
        yield from _artifact_readings(labels, artifact, now)


def _artifact_readings(own: Mapping[str, str], status: ArtifactStatus, now: float) -> Iterator[MetricValue]:
    for name in COUNTERS:
        yield from readings_of("undertow", name, status.counts, own)
    yield MetricValue("undertow_blocked", float(status.blocked is not None), own)
    if status.durable_at is not None:
        age = max(0.0, now - status.durable_at) if status.held else 0.0  # without partitions there are no checkpoints
        yield MetricValue("undertow_checkpoint_age_seconds", age, own)
    for partition, lag in status.lag.items():
        yield MetricValue(LAG, lag, {**own, "partition": str(partition)})
    for partition, series in status.observed.by_partition.items():
        yield MetricValue(HELD, series, {**own, "partition": str(partition)})
    yield MetricValue("undertow_held_bytes", status.observed.bytes, own)
    yield MetricValue("undertow_held_file_bytes", status.observed.file_bytes, own)
    yield MetricValue("undertow_waiting_observations", status.observed.waiting, own)


def fleet_readings(status: FleetStatus, *, has_heard_all: bool = True) -> Iterator[MetricValue]:
    """Yield the controller's metrics; counters only once it `has_heard_all` the replicas that it found.

    A restarted controller learns the counts so far from them; they must not appear as an increase.
    """
    fleet = {"fleet": status.name}
    if has_heard_all:
        for name in OF_FLEET:
            yield from readings_of("undertow_fleet", name, status.counts, fleet)
    yield MetricValue("undertow_failovers", status.failovers, fleet)
    for state in get_args(ReplicaState):
        count = sum(replica.state == state for replica in status.replicas)
        yield MetricValue("undertow_replicas", count, {**fleet, "state": state})
    yield MetricValue("undertow_replicas_wanted", status.wanted, fleet)
    yield MetricValue("undertow_partitions_unread", status.unread, fleet)
    if status.maintained is not None:
        yield MetricValue("undertow_maintained_age_seconds", status.maintained.age_s, fleet)
        yield MetricValue("undertow_folded_rows", status.maintained.rows, fleet)


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
        self._of_partitions: set[tuple[str, LabelSet]] = set()
        self._has_heard_all = False

    def emit(self, readings: Iterable[MetricValue]) -> None:
        """Export these; what is told of a partition that is no longer among them is exported as 0 once more."""
        before, self._of_partitions = self._of_partitions, set()
        for reading in readings:
            labels = tuple(sorted(reading.labels.items()))
            self._show(reading.name, labels, reading.value)
            if reading.name in OF_PARTITIONS:
                self._of_partitions.add((reading.name, labels))
        for name, labels in before - self._of_partitions:
            self._show(name, labels, 0.0)

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

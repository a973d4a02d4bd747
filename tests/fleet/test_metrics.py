"""What is documented is what is emitted, and what is emitted can be scraped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undertow.cli.main import main
from undertow.fleet.artifact_status import ArtifactStatus
from undertow.fleet.maintain_status import MaintainStatus
from undertow.fleet.metrics import DEFINITIONS, Emitter, fleet_readings, ray_metric, replica_readings
from undertow.fleet.slots import new_name
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.schemas.records import REASONS, Partition
from undertow.stream import histogram
from undertow.stream.counts import Counts
from undertow.stream.ports import Observed

DEPLOY = Path(__file__).parents[2] / "deploy"
PARTITION = Partition("windows", 3)
SECONDS = np.random.default_rng(4).lognormal(-3, 1.5, 500)


def a_part(**changes):
    part = ArtifactStatus(
        artifact="pumps__00000000",
        held=frozenset({PARTITION}),
        lag={PARTITION: 17},
        counts=Counts(windows=500, rejects={"not-finite": 2}, latency=histogram.of(SECONDS), batches={1: 1, 8: 2}),
        durable_at=100.0,
        observed=Observed(series=4, bytes=900, by_partition={PARTITION: 4}),
    )
    return replace(part, **changes)


def a_replica(*artifacts):
    return ReplicaStatus(name="replica-1", state="running", artifacts=artifacts)


def a_fleet(failovers, **counts):
    return FleetStatus(
        name="f",
        state="running",
        replicas=(),
        wanted=1,
        partitions=1,
        counts=Counts(**counts),
        failovers=failovers,
        maintained=MaintainStatus(age_s=34.0),
    )


def all_readings():
    return [*replica_readings("f", a_replica(a_part()), 104.0), *fleet_readings(a_fleet(2))]


def exposed(definition):
    return f"ray_{definition.in_ray}"


def test_each_definition_is_emitted_with_the_labels_that_it_names():
    emitted = {(r.name, tuple(sorted(r.labels))) for r in all_readings()}
    assert emitted == {(d.name, tuple(sorted(d.labels))) for d in DEFINITIONS}


def test_the_page_holds_exactly_the_definitions():
    rows = [line for line in (DEPLOY / "OPERATIONS.md").read_text().splitlines() if line.startswith("| `ray_")]
    assert rows == [
        f"| `{exposed(d)}` | {d.kind} | {d.unit} | {', '.join(d.labels)} | {d.meaning} |" for d in DEFINITIONS
    ]


def test_a_latency_bucket_never_shows_more_than_numpy_counts_and_misses_less_than_one_fine_bucket():
    for reading in all_readings():
        if reading.name == "undertow_latency_seconds_bucket":
            edge = float(reading.labels["le"])
            assert (edge * 0.92 >= SECONDS).sum() <= reading.value <= (edge >= SECONDS).sum()


def test_a_batch_is_counted_in_every_bucket_that_holds_it():
    found = {r.labels["le"]: r.value for r in all_readings() if r.name == "undertow_batch_windows_bucket"}
    assert [found[le] for le in ("1", "4", "8", "+Inf")] == [1, 1, 3, 3]


def test_each_artifact_of_a_replica_is_counted_under_its_own_label():
    both = a_replica(a_part(), a_part(artifact="valves__11111111", counts=Counts(windows=7)))
    found = {r.labels["artifact"]: r.value for r in replica_readings("f", both, 104.0) if r.name == "undertow_windows"}
    assert found == {"pumps__00000000": 500, "valves__11111111": 7}


def test_who_holds_nothing_has_no_old_checkpoint():
    idle = a_replica(a_part(held=frozenset()))
    ages = [r.value for r in replica_readings("f", idle, 900.0) if r.name == "undertow_checkpoint_age_seconds"]
    assert ages == [0.0]


def test_every_command_of_the_page_exists():
    words = (DEPLOY / "OPERATIONS.md").read_text().split("`undertow ")[1:]
    assert words
    assert {word.split("`")[0].split()[0] for word in words} <= set(main.commands)


def values(readings, name, label):
    return {reading.labels[label]: reading.value for reading in readings if reading.name == name}


def test_every_total_is_shown_from_0_on_before_the_first_of_it_is_counted():
    fresh = a_replica(ArtifactStatus(artifact="pumps__00000000"))
    shown = [*replica_readings("f", fresh, 104.0), *fleet_readings(a_fleet(0))]
    totals = {d.name for d in DEFINITIONS if d.kind != "gauge"}
    assert totals == {reading.name for reading in shown} & totals
    assert {reading.value for reading in shown if reading.name in totals} == {0.0}
    for name in ("undertow_rejects", "undertow_fleet_rejects"):
        assert values(shown, name, "reason") == dict.fromkeys(REASONS, 0)


def test_a_reason_that_nobody_knows_is_shown_as_well():
    shown = values(fleet_readings(a_fleet(0, rejects={"end": 3, "too-late": 2})), "undertow_fleet_rejects", "reason")
    assert shown == {**dict.fromkeys(REASONS, 0), "end": 3, "too-late": 2}


def test_a_replica_is_shown_by_its_slot_which_its_successor_takes():
    first = new_name([])
    second = new_name([first])
    successor = new_name([second])
    shown = [
        {r.labels["replica"] for r in replica_readings("f", replace(a_replica(a_part()), name=name), 104.0)}
        for name in (first, second, successor)
    ]
    assert shown == [{"replica-0"}, {"replica-1"}, {"replica-0"}]
    assert first != successor


def test_a_controller_that_is_started_again_calls_nothing_new_that_it_has_yet_to_hear():
    shown = {}

    class Metric:
        def __init__(self, definition):
            self.name = definition.name

        def set(self, value, tags):
            shown.setdefault(self.name, []).append((tags.get("reason"), value))

    emitter = Emitter(Metric)
    found = replace(a_replica(a_part()), pid=0)
    emitter.emit_fleet(replace(a_fleet(0), replicas=(found,)))
    assert shown["undertow_failovers"] == [(None, 0)]
    assert "undertow_fleet_lost" not in shown
    heard = replace(found, pid=17)
    emitter.emit_fleet(replace(a_fleet(0, lost=500), replicas=(heard,)))
    emitter.emit_fleet(replace(a_fleet(0, lost=500), replicas=(heard, found)))  # one that has just been started
    assert shown["undertow_fleet_lost"] == [(None, 500)] * 2


class Recorder:
    """Ray's own metrics, with a note of what each was given: without ray[default] no agent exports them."""

    def __init__(self):
        self.given = {}

    def make(self, definition):
        inner = ray_metric(definition)
        recorder = self

        class Noting:
            def set(self, value, tags):
                inner.set(value, tags=tags)
                recorder.given.setdefault((definition.in_ray, tags.get("partition")), []).append(value)

        return Noting()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_takes_every_reading_0_too_and_a_partition_given_away_has_neither_lag_nor_series():
    recorder = Recorder()
    emitter = Emitter(recorder.make)
    emitter.emit(replica_readings("f", a_replica(a_part(counts=Counts())), 104.0))
    emitter.emit(replica_readings("f", a_replica(a_part()), 104.0))
    emitter.emit_fleet(a_fleet(2))
    assert recorder.given["undertow_windows_total", None] == [0, 500]
    assert recorder.given["undertow_failovers_total", None] == [2]
    for _ in range(2):
        emitter.emit(replica_readings("f", a_replica(a_part(lag={}, observed=Observed())), 104.0))
    assert recorder.given["undertow_lag", str(PARTITION)] == [17, 17, 0]
    assert recorder.given["undertow_held_series", str(PARTITION)] == [4, 4, 0]

"""What is documented is what is emitted, and what is emitted can be scraped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from schemas.records import Partition
from workers.cli import main
from workers.core import histogram
from workers.fleet.artifact_status import ArtifactStatus
from workers.fleet.metrics import DEFINITIONS, Emitter, fleet_readings, ray_metric, replica_readings
from workers.fleet.status import FleetStatus, ReplicaStatus

DEPLOY = Path(__file__).parents[2] / "deploy"
PARTITION = Partition("windows", 3)
SECONDS = np.random.default_rng(4).lognormal(-3, 1.5, 500)


def a_part(**changes):
    latency = histogram.empty()
    histogram.observe(latency, SECONDS)
    part = ArtifactStatus(
        artifact="pumps__00000000",
        held=frozenset({PARTITION}),
        lag={PARTITION: 17},
        windows=500,
        rejects={"not-finite": 2},
        latency=latency,
        batches={0: 1, 3: 2},
        durable_at=100.0,
    )
    return replace(part, **changes)


def a_replica(*artifacts):
    return ReplicaStatus(name="replica-1", state="running", artifacts=artifacts)


def a_fleet(failovers):
    return FleetStatus(
        name="f",
        state="running",
        replicas=(),
        wanted=1,
        partitions=1,
        windows=0,
        rejects={},
        ignored_columns=0,
        lost=0,
        retries=0,
        failovers=failovers,
        latency=histogram.empty(),
    )


def all_readings():
    return [*replica_readings("f", a_replica(a_part()), 104.0), *fleet_readings(a_fleet(2))]


def exposed(definition):
    return f"ray_{definition.name}" + ("" if definition.kind == "gauge" else "_total")


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
    both = a_replica(a_part(), a_part(artifact="valves__11111111", windows=7))
    found = {r.labels["artifact"]: r.value for r in replica_readings("f", both, 104.0) if r.name == "undertow_windows"}
    assert found == {"pumps__00000000": 500, "valves__11111111": 7}


def test_who_holds_nothing_has_no_old_checkpoint():
    idle = a_replica(a_part(held=frozenset()))
    ages = [r.value for r in replica_readings("f", idle, 900.0) if r.name == "undertow_checkpoint_age_seconds"]
    assert ages == [0.0]


def test_alerts_ask_only_for_metrics_that_exist_and_are_explained():
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    page = (DEPLOY / "OPERATIONS.md").read_text()
    names = {exposed(d) for d in DEFINITIONS}
    for rule in rules:
        asked = {w for w in "".join(c if c.isalnum() or c == "_" else " " for c in rule["expr"]).split() if "ray_" in w}
        assert asked
        assert asked <= names
        assert f"**{rule['alert']}**" in page


def test_every_command_of_the_page_exists():
    words = (DEPLOY / "OPERATIONS.md").read_text().split("`undertow ")[1:]
    assert words
    assert {word.split("`")[0].split()[0] for word in words} <= set(main.commands)


class Recorder:
    """Ray's own metrics, with a note of what each was given: without ray[default] no agent exports them."""

    def __init__(self):
        self.totals = {}

    def make(self, definition):
        inner = ray_metric(definition)
        recorder = self

        class Noting:
            def inc(self, value, tags):
                inner.inc(value, tags=tags)
                key = (definition.name, tags.get("partition"))
                recorder.totals[key] = recorder.totals.get(key, 0) + value

            def set(self, value, tags):
                inner.set(value, tags=tags)
                recorder.totals[definition.name, tags.get("partition")] = value

        return Noting()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_ray_takes_every_reading_growth_is_added_once_and_a_partition_given_away_has_no_lag():
    recorder = Recorder()
    emitter = Emitter(recorder.make)
    emitter.emit(replica_readings("f", a_replica(a_part(windows=300)), 104.0))
    emitter.emit(replica_readings("f", a_replica(a_part()), 104.0))
    emitter.emit(fleet_readings(a_fleet(2)))
    assert recorder.totals["undertow_windows", None] == 500
    assert recorder.totals["undertow_failovers", None] == 2
    emitter.emit(replica_readings("f", a_replica(a_part(lag={})), 104.0))
    assert recorder.totals["undertow_lag", str(PARTITION)] == 0

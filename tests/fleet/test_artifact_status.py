"""What `undertow status` says of a fleet that serves two artifacts."""

import io
from dataclasses import replace

from rich.console import Console

from undertow.fleet.artifact_status import ArtifactStatus, by_artifact
from undertow.fleet.show import table
from undertow.fleet.status import FleetStatus
from undertow.schemas.records import Partition
from undertow.stream.counts import Counts

ONE, OTHER = Partition("windows", 0), Partition("windows", 1)


def a_fleet(*artifacts):
    return FleetStatus(
        name="f",
        state="running",
        replicas=(),
        wanted=1,
        partitions=2,
        counts=Counts(windows=12, rejects={"columns": 3}),
        failovers=0,
        artifacts=artifacts,
    )


PUMPS = ArtifactStatus(artifact="pumps__00000000", counts=Counts(windows=9), lag={ONE: 1000, OTHER: 234})
VALVES = ArtifactStatus(
    artifact="valves__11111111", counts=Counts(windows=3, rejects={"columns": 3}), lag={ONE: 0}, blocked="away"
)


def shown(status):
    out = io.StringIO()
    Console(file=out, width=200).print(table(status, now=0.0, width=200))
    return out.getvalue()


def test_each_of_several_artifacts_has_a_line_of_its_own():
    text = shown(a_fleet(PUMPS, VALVES))
    assert "pumps__00000000: 9 windows · lag 1,234 · rejects 0" in text
    assert "valves__11111111: 3 windows · lag ? · rejects columns 3 · away" in text  # a partition has no reader yet


def test_one_artifact_alone_is_told_of_as_the_fleet():
    text = shown(a_fleet(VALVES))
    assert "valves__11111111" not in text
    assert "rejects by reason: columns 3" in text


def test_the_json_has_an_entry_for_each_artifact():
    pumps, valves = a_fleet(PUMPS, VALVES).to_json()["artifacts"]
    assert (pumps["artifact"], pumps["windows"], pumps["lag"], pumps["rejects"]) == ("pumps__00000000", 9, 1234, {})
    assert (valves["lag"], valves["rejects"], valves["blocked"]) == (None, {"columns": 3}, "away")
    assert pumps["append_to_readable_ms"] == {"p50": None, "p99": None}


def test_an_artifact_is_summed_up_over_replicas_and_what_is_gone_reads_nothing_any_more():
    held = replace(PUMPS, held=frozenset({ONE, OTHER}))
    pumps, valves = by_artifact([(held, VALVES)], [(replace(held, counts=Counts(windows=5), lag={ONE: 10**6}), VALVES)])
    assert (pumps.artifact, pumps.counts.windows, pumps.lag, pumps.held) == (PUMPS.artifact, 14, PUMPS.lag, held.held)
    assert (valves.artifact, valves.counts.windows, valves.counts.rejects) == (VALVES.artifact, 6, {"columns": 6})
    (gone, _) = by_artifact([], [(held, VALVES)])
    assert (gone.counts.windows, gone.held, gone.lag, gone.blocked) == (9, frozenset(), {}, None)

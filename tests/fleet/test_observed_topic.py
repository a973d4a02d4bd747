"""Observations in a topic: sent as they are, judged before anything starts, and when they are sent again."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import undertow
from tests.fleet.one_stream import read_to_end
from undertow.adapters.kafka_replay import DeadLetter
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.commands.produce import produce
from undertow.commands.replay import ReplayTarget, judge
from undertow.core.errors import Refused
from undertow.fleet.show import screen
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.settings.settings import Settings
from undertow.stream.counts import Counts
from undertow.stream.ports import Observed
from undertow.wiring.observed_source import describe_content, open_alone
from undertow.wiring.root import stream_recipe

BEGIN_US, HOUR_US = 1_767_225_600_000_000, 3_600_000_000
SPEC = {"every": "1h", "fill": "forward", "max_gap": "2h"}


def with_observations(settings, *, windows=SPEC, **kafka):
    changes = {
        "kafka": settings.kafka.model_copy(update={"content": "observations", **kafka}),
        "windows": settings.windows.model_copy(update=windows),
    }
    return settings.model_copy(update=changes)


@pytest.mark.kafka
@pytest.mark.redis
@pytest.mark.parametrize("form", ["json", "arrow", "avro"])
def test_a_file_that_is_produced_and_read_gives_the_rows_of_its_table(form, make_place, packed, tmp_path):
    place = make_place(partitions=3)
    spec = {**SPEC, "created": "made"}
    settings = with_observations(place.settings, windows=spec, format=form)
    rng = np.random.default_rng(4)
    pump, hour = (part.ravel() for part in np.meshgrid([f"p{n:03d}" for n in range(9)], np.arange(40)))
    order = rng.permutation(len(pump))[: int(len(pump) * 0.9)]
    flow = rng.normal(size=len(order))
    flow[3] = np.inf
    time_ns = (BEGIN_US + hour[order] * HOUR_US) * 1_000
    time_ns[5] += 1  # finer than what an observation may have
    table = pa.table(
        {
            "pump": pump[order],
            "event_timestamp": pa.array(time_ns, pa.timestamp("ns", tz="UTC")),
            "made": pa.array(time_ns + 5_000, pa.timestamp("ns")),
            "flow": flow,
            "head": pa.array(rng.normal(size=len(order)), pa.float64(), mask=rng.random(len(order)) < 0.1),
            "other": np.arange(len(order)),
        }
    )
    pq.write_table(table, tmp_path / "readings.parquet")
    assert produce(settings, tmp_path / "readings.parquet", Console(quiet=True), per_second=1e9, batch=32)
    counts = read_to_end(stream_recipe(settings))
    expected = undertow.windows(table, packed.artifact, undertow.WindowSpec(**spec))
    assert [fault.row for fault in expected.faults] == [3, 5]
    found = read_rows(view_folder(settings.offline.path, read_manifest(packed.artifact).view())).to_pandas()
    keys = zip(found["pump"], found["event_timestamp"].astype("datetime64[us, UTC]").astype(np.int64), strict=True)
    assert sorted(keys) == sorted(zip(expected.series["pump"].tolist(), expected.end_us.tolist(), strict=True))
    assert counts.windows == len(expected) > 100
    assert sum(counts.rejects.values()) == (0 if form == "json" else 1)


@pytest.fixture
def judged(packed, tmp_path):
    settings = undertow_settings(tmp_path)
    return settings, read_manifest(packed.artifact)


def undertow_settings(folder):
    return with_observations(Settings(offline={"path": folder / "offline"}, kafka={"topic": "readings"}))


def test_what_is_made_of_records_is_told_in_a_line(judged):
    settings, manifest = judged
    told = describe_content(settings, manifest.contract)
    assert told == "observations, windows of 4 to 12 steps every 1h, lateness 0"


def test_what_cannot_be_read_is_refused_before_anything_starts(judged):
    settings, manifest = judged
    for broken, message in [
        (with_observations(settings, windows={"every": ""}), "found windows.every not set"),
        (with_observations(settings, windows={"fill": {"flaw": "none"}}), "found flaw"),
        (
            settings.model_copy(update={"offline": settings.offline.model_copy(update={"enabled": False})}),
            "needs the offline log",
        ),
    ]:
        with pytest.raises(Refused, match=message):
            describe_content(broken, manifest.contract)


def test_a_letter_is_judged_as_an_observation_and_a_late_one_stays(judged):
    settings, manifest = judged
    takers = [ReplayTarget(manifest=manifest, decode=open_alone(settings, manifest.contract))]
    good = b'{"pump": "p001", "event_timestamp": 1767225600000000, "flow": 0.5}'
    letter = DeadLetter(
        partition=Partition("readings.rejects", 0),
        offset=0,
        at_us=BEGIN_US,
        reason="number",
        detail="",
        artifact=manifest.name,
        space=manifest.space,
        origin=Partition("readings", 1),
        origin_offset=7,
        value=good,
        key=None,
        headers=(),
        is_cut=False,
    )
    assert judge(letter, takers, settings, None).fault is None
    assert judge(replace(letter, value=b"{"), takers, settings, None).fault.startswith("not-json: expected JSON")
    assert judge(replace(letter, reason="late"), takers, settings, None).fault.startswith("it would be late again")
    of_window = judge(replace(letter, reason="category", detail="pump: p9"), takers, settings, None)
    assert of_window.fault.startswith("category: pump: p9; of the window that it completed")


def test_a_status_tells_how_many_series_are_held_and_what_each_takes():
    held = Observed(series=20, bytes=9_000, waiting=7, waiting_series=3)
    replicas = [ReplicaStatus(name=name, state="running", observed=held) for name in "ab"]
    status = FleetStatus(
        name="f", state="running", replicas=tuple(replicas), wanted=2, partitions=4, counts=Counts(), failovers=0
    )
    text = io.StringIO()
    Console(file=text, width=200).print(screen(status, now=100.0, width=200))
    assert "observations: 40 series held, 450 bytes of memory each" in text.getvalue()
    assert "observations: 14 observations of 6 series wait for a later one, which closes" in text.getvalue()
    plain = {"series": 40, "bytes": 18_000, "file_bytes": 0, "waiting": 14, "waiting_series": 6}
    assert status.to_json()["observed"] == plain
    drained = replace(status, state="drained", replicas=(), left=held + held)
    text = io.StringIO()
    Console(file=text, width=200).print(screen(drained, now=100.0, width=200))
    assert "14 observations of 6 series wait" in text.getvalue()
    assert "held" not in text.getvalue()

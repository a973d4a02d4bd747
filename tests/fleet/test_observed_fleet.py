"""Raw observations through a real Kafka and a real fleet: replicas die, partitions move, and rows are the frame's."""

import json
import os
import random
import signal

import numpy as np
import pandas as pd
import pytest

import undertow
from tests.fleet.live import offline_rows, running, wait_until, wait_until_kept
from undertow.fleet.lease_places import is_alive
from undertow.history.forgetting import Asked
from undertow.history.forgetting import run as forget
from undertow.schemas.times import format_time

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

BEGIN_US, STEP_US = 1_767_225_600_000_000, 1_000_000
SPEC = {"every": "1s", "fill": "forward", "max_gap": "2s", "lateness": "4s", "combine": "mean"}
PARTITIONS = 4


def observations(pumps, steps, seed=0):
    """Rows in the order in which they are sent: of each pump out of order by less than the lateness, some twice."""
    chance, rows = random.Random(seed), []
    for pump in range(pumps):
        for step in range(steps):
            if chance.random() < 0.1:
                continue
            seen = {"pump": f"p{pump:03d}", "flow": chance.gauss(0, 1), "head": chance.gauss(0, 1)}
            if chance.random() < 0.1:
                del seen["head"]
            seen["event_timestamp"] = BEGIN_US + step * STEP_US
            copies = 1 + (chance.random() < 0.1)
            rows += [(step + chance.random() * 3, seen) for _ in range(copies)]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def send(place, rows):
    """Append rows, some of them several in a record, each pump to a partition of its own."""
    values, partitions, waiting = [], [], {}
    for number, row in enumerate(rows):
        partition = int(row["pump"][1:]) % PARTITIONS
        if number % 5 == 0:
            waiting.setdefault(partition, []).append(row)
            continue
        own = [*waiting.pop(partition, []), row]
        values.append(json.dumps(own if len(own) > 1 else row).encode())
        partitions.append(partition)
    for partition, left in waiting.items():
        values.append(json.dumps(left).encode())
        partitions.append(partition)
    place.send(values, partitions)


def closed_windows(artifact, rows):
    """The frame's windows, without those whose cells nothing has closed yet: the frame of what is closed."""
    frame = pd.DataFrame(rows)
    newest = frame.groupby("pump")["event_timestamp"].transform("max")
    closed = frame[frame["event_timestamp"] + 4 * STEP_US <= newest]
    return undertow.windows(closed, artifact, undertow.WindowSpec(**SPEC))


@pytest.mark.timeout(500)
def test_killed_and_moved_replicas_give_each_window_of_the_frame_once(make_place, packed):
    place = make_place(partitions=PARTITIONS)
    settings = place.settings.model_copy(
        update={
            "kafka": place.settings.kafka.model_copy(update={"content": "observations"}),
            "windows": place.settings.windows.model_copy(update=SPEC),
            "offline": place.settings.offline.model_copy(update={"snapshot_seconds": 1.0}),
        }
    )
    rows = observations(pumps=40, steps=150)
    third = len(rows) // 3
    with running(settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == PARTITIONS)
        send(place, rows[:third])
        status = wait_until(fleet, lambda s: s.counts.windows > 500)
        os.kill(status.replicas[0].pid, signal.SIGKILL)
        send(place, rows[third : 2 * third])
        wait_until(fleet, lambda s: s.failovers == 1 and s.lag == 0)
        fleet.scale(2, timeout_s=60)  # half of the partitions are handed over
        wait_until(fleet, lambda s: sorted(len(r.held) for r in s.replicas) == [2, 2])
        send(place, rows[2 * third :])
        late = {"pump": "p000", "flow": 9.0, "head": 9.0, "event_timestamp": BEGIN_US}
        place.send([json.dumps(late).encode(), b"[{"], [0, 1])
        expected = closed_windows(packed.artifact, rows)
        wait_until_kept(fleet, settings, len(expected), lambda s: sum(s.counts.rejects.values()) >= 2)
        status = fleet.status()
        assert status.observed.series == sum(status.observed.by_partition.values()) == 40
        assert len(status.observed.by_partition) == PARTITIONS
        said = []
        asked = Asked(name="pumps", series=("pump=p039",), is_sure=True, skips_online=True)
        wait_until(fleet, lambda _: len([*settings.offline.path.glob("*/@windows/*/*/*.arrow")]) >= PARTITIONS)
        assert forget(settings, asked, said.append, None, is_alive=is_alive), said
        wait_until(fleet, lambda s: s.observed.series == 39)

    found = offline_rows(settings)
    found = found[found["pump"] != "p039"]
    keys = list(
        zip(found["pump"], found["event_timestamp"].astype("datetime64[us, UTC]").astype(np.int64), strict=True)
    )
    every = list(zip(expected.series["pump"].tolist(), expected.end_us.tolist(), strict=True))
    wanted = [key for key in every if key[0] != "p039"]
    assert len(wanted) > 3_000
    assert sorted(keys) == sorted(wanted)
    with undertow.load(packed.artifact) as embedder:
        vectors = dict(zip(every, embedder.embed(expected)["embedding"], strict=True))
    both = np.stack(found["embedding"].to_list()), np.stack([vectors[key] for key in keys])
    np.testing.assert_allclose(*both, atol=1e-6, rtol=1e-6)
    letters = {dict(letter.headers)["undertow.reason"]: letter for letter in place.dead_letters(2)}
    assert letters.keys() == {b"late", b"not-json"}
    detail = dict(letters[b"late"].headers)["undertow.detail"].decode()
    assert detail.startswith(
        f"event_timestamp: expected a time whose grid point is not closed yet, found {format_time(BEGIN_US)}, when "
    )
    assert detail.endswith("had been seen of its series (windows.lateness = 4s)")
    assert json.loads(letters[b"late"].value) == late
    assert len([*settings.offline.path.glob("*/@windows/*/*/*.arrow")]) >= PARTITIONS

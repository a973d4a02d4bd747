"""`undertow forget` is killed -9 at each step: no other row is lost, and run again it leaves none of the series.

Alone, and while a maintainer folds, a stream appends and a reader joins.
"""

import random
import signal

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from tests.history.fold_processes import MaintainerProcess
from tests.history.fold_world import BEGIN_US, P0, P1, VIEW
from tests.history.forget_processes import make_online, sites_online, start
from tests.history.forget_world import on_disk
from tests.history.test_maintained_chains import answers
from undertow.history.join import join
from undertow.stream.failpoints import FORGET_POINTS, arm

ROUNDS = 50 if settings.get_current_profile_name() == "long" else 2
PATIENCE_S = 240
MOST_PARTS = 30
"""That are not folded and deleted yet: more than that, and the writer outruns a maintainer on a busy machine."""
POINTS = [*((point, 1) for point in FORGET_POINTS), ("after_forget_part", 3), ("after_fsync", 1), ("after_link", 1)]
"""The last two are within the writing of a file of the table."""


def is_killed(victim, within_s):
    victim.join(within_s)
    assert victim.exitcode in (None, -signal.SIGKILL)
    return victim.exitcode is not None


@pytest.fixture
def place(tmp_path):
    """Where failpoints are armed, and an online store."""
    (tmp_path / "armed").mkdir()
    make_online(tmp_path / "online.db")
    return tmp_path


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("point", "count"), POINTS)
def test_killed_at_a_step_it_has_lost_no_other_row_and_run_again_it_leaves_none(place, memory_clock, point, count):
    world = on_disk(place, memory_clock).fill()
    others, told = world.others("s1"), answers(world)
    arm(place / "armed", point, "kill", count)
    assert is_killed(start(world.root, place / "online.db", "s1", armed=place / "armed"), PATIENCE_S)
    assert [path.name.partition(".")[0] for path in (place / "armed").iterdir()] == [point]
    assert world.others("s1") == others
    assert answers(world) == told
    assert {"s0", "s2"} <= sites_online(place / "online.db")
    assert ("s1" in sites_online(place / "online.db")) == (point != "after_forget_online")
    again = start(world.root, place / "online.db", "s1")
    again.join(PATIENCE_S)
    assert again.exitcode == 0
    assert "s1" not in world.series()
    assert world.rows() == others
    assert answers(world) == told
    assert sites_online(place / "online.db") == {"s0", "s2"}


class Busy:
    """Who appends to the log, of other series only, and reads it meanwhile."""

    def __init__(self, world, folder, rng):
        self.world, self.folder, self.rng = world, folder, rng

    def append(self):
        if len(self.world.parts(P0)) + len(self.world.parts(P1)) < MOST_PARTS:
            first = self.world.log.end(P1) or 0
            self.world.publish(P1, 1, rows=first % 3 != 1)

    def expected(self):
        ends = enumerate(self.world.log.end(partition) or 0 for partition in (P0, P1))
        return [(partition, offset) for partition, end in ends for offset in range(end) if offset % 3 != 1]

    def read(self):
        """See every other row once, by two readers: the newest one of each series by a join."""
        assert [(p, offset) for p, offset in self.world.places() if offset % 3 != 1] == self.expected()
        at = pd.to_datetime([BEGIN_US + 3_600_000_000] * 2, unit="us", utc=True)
        pd.DataFrame({"site": ["s0", "s2"], "event_timestamp": at}).to_parquet(self.folder / "rows.parquet")
        out = self.folder / "out.parquet"
        join(self.folder / "rows.parquet", out, log=self.world.home, view=VIEW, read_memory_bytes=256 << 20)
        newest = [max(offset for _, offset in self.expected() if offset % 3 == site) for site in (0, 2)]
        assert [vector[0] for vector in pq.read_table(out)["hidden"].to_pylist()] == newest


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_again_and_again_beside_a_maintainer_a_stream_and_a_reader(place, seed):
    rng = random.Random(seed)
    world = on_disk(place, lambda: 1e9)
    for _ in range(10):
        world.publish(P0, 3)
    busy = Busy(world, place, rng)
    maintainer = MaintainerProcess(world.root)
    # Whether a step is reached depends on what the maintainer has moved.
    for point in rng.sample(FORGET_POINTS, 3):
        arm(place / "armed", point, "kill")
        victim = start(world.root, place / "online.db", "s1", armed=place / "armed")
        while victim.is_alive():
            busy.append()
            busy.read()
        assert victim.exitcode in (0, -signal.SIGKILL)
        (place / "armed" / point).unlink(missing_ok=True)
    victim = start(world.root, place / "online.db", "s1")
    for _ in range(rng.randint(0, 10)):
        busy.append()
        victim.join(rng.uniform(0, 0.1))
    victim.kill()
    last = start(world.root, place / "online.db", "s1")
    while last.is_alive():
        busy.append()
        busy.read()
    faults = maintainer.end()
    assert last.exitcode == 0
    assert [fault for fault in faults if not fault.endswith("it will be tried again")] == []
    assert world.maintain().faults == ()
    assert "s1" not in world.series()
    assert world.places() == busy.expected()
    assert sites_online(place / "online.db") == {"s0", "s2"}

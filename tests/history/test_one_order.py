"""One order everywhere: what is online is what the log has last, whoever wrote when, died, or woke up again.

Owners read two partitions, are replaced and go on as zombies; their writes may stall and come much later. Records of
one series and time are sent again and again, with clocks that go back; backfills of them are killed and run again.
Three online stores get the same writes. The reference is pandas, on the rows of the log in the order that they tell.
"""

import itertools

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.history.order_world import ENDS, VIEW, World
from undertow.adapters.offline_parts import read_rows
from undertow.history.join import join

FEW = 15
EXAMPLES = max(FEW, settings.default.max_examples // 5)  # 1,000 with the profile `long`
PUMPS = ("a", "b")
NUMBERS = itertools.count()


def check(world):
    """Compare the stores, the log and the join with `merge_asof` on the rows in their order."""
    log = read_rows(world.home).to_pandas()
    log["number"] = log["embedding"].str[0]
    log["event_us"] = log["event_timestamp"].astype("int64") // {"ns": 1000, "us": 1}[log["event_timestamp"].dt.unit]
    assert not log.duplicated(["pump", "event_us", "created"]).any()
    for _, chain in log.dropna().groupby("origin_partition"):
        created = chain.sort_values("origin_offset")["created"]
        assert created.is_monotonic_increasing
        assert created.is_unique
    newest = log.sort_values(["event_us", "created"]).groupby("pump").last()
    assert world.online() == {pump: (row.event_us, row.number) for pump, row in newest.iterrows()}

    asked = pd.DataFrame([(pump, end + off) for pump in PUMPS for end in ENDS for off in (-1, 0, 1)])
    asked = asked.set_axis(["pump", "event_us"], axis=1).sort_values("event_us", ignore_index=True)
    asked["event_timestamp"] = pd.to_datetime(asked["event_us"], unit="us", utc=True).dt.as_unit("us")
    asked[["pump", "event_timestamp"]].to_parquet(world.folder / "asked")
    join(world.folder / "asked", world.folder / "joined", log=world.home, view=VIEW, read_memory_bytes=128 << 20)
    expected = pd.merge_asof(asked, log.sort_values(["event_us", "created"]), on="event_us", by="pump")["number"]
    found = pd.read_parquet(world.folder / "joined")["embedding"].str[0]
    assert found.fillna(-1).tolist() == expected.fillna(-1).tolist()
    return log


KEYS = st.tuples(st.sampled_from(PUMPS[:1] * 3 + PUMPS), st.sampled_from(ENDS + ENDS[1:] * 2))  # mostly one of them
FATES = st.sampled_from(["ends", "dies", "stalls"])
WHICH = st.sampled_from([0, 0, 0, 1, 2])  # most often who came last
ACTS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 1), KEYS, st.sampled_from([0, 0, 1, 5_000])).map(
        lambda act: ("send", act[1], *act[2], act[3])
    ),
    st.tuples(st.sampled_from(["take", "take", "checkpoint", "checkpoint", "stall", "wake"]), WHICH),
    st.tuples(st.just("refuse"), st.integers(0, 1), st.sampled_from([0, 3_600_000])),
    st.tuples(st.just("replace_owner")),
    st.tuples(st.just("backfill"), st.lists(KEYS, min_size=1, max_size=4), FATES),
    st.tuples(st.just("run_again"), FATES),
)


@pytest.mark.redis
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(st.tuples(ACTS, st.sampled_from([0, 0, 1, 1000, -2_000])), min_size=10, max_size=40))
def test_what_is_online_is_what_the_log_has_last_whoever_wrote_when(
    tmp_path_factory, redis_address, feast_project, acts
):
    world = World(tmp_path_factory.mktemp("order"), redis_address, f"{feast_project}{next(NUMBERS)}")
    for (name, *arguments), passed_ms in acts:
        world.now += passed_ms / 1000
        if not world.owners:
            world.replace_owner()
        getattr(world, name)(*arguments)
    world.send(0, "a", ENDS[0], 0)
    world.finish()
    check(world)
    for sink in [*world.late, *(sink for _, sink in world.owners)]:
        sink.wake()
    check(world)
    world.close()

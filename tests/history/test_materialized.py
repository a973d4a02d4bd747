"""Feast's own batch materialisation of what a stream and backfills wrote: it fills a store with the same rows."""

from datetime import UTC, datetime

import ibis
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from tests.feature_repo.stock import copy_of_repo
from tests.fleet import quick_feast
from tests.history.order_world import ENDS, JUNE_S, VIEW, World
from undertow.adapters import feast_repo
from undertow.adapters.feast_store import open_store
from undertow.settings.sections import FeastSettings

pytestmark = pytest.mark.redis
SERIES = [f"s{number:02d}" for number in range(12)]


@pytest.fixture
def world(tmp_path, redis_address, feast_project):
    world = World(tmp_path, redis_address, feast_project)
    yield world
    world.close()


def deliver(world):
    """Send late, tied and twice delivered windows; correct some by backfills, one of which dies and is run again."""
    for lap in range(3):
        for at, pump in enumerate(SERIES):
            world.send(at % 2, pump, ENDS[(lap + at) % 2], at)
    world.finish()
    world.now += 60
    world.backfill([(pump, ENDS[1]) for pump in SERIES[:4]], "ends")
    world.backfill([(pump, ENDS[0]) for pump in SERIES[3:6]], "dies")
    world.now += 60
    world.finish()


def read(store):
    """Return (event time in whole seconds, number) of each series, None where there is none."""
    view = store.get_feature_view(VIEW.view)
    keys = [EntityKey(join_keys=["pump"], entity_values=[Value(string_val=pump)]) for pump in SERIES]
    rows = store._get_provider().online_read(store.config, view, keys)
    return {
        pump: values and (int(time.timestamp()), values["embedding"].float_list_val.val[0])
        for pump, (time, values) in zip(SERIES, rows, strict=True)
    }


def test_an_empty_store_that_feast_materialises_holds_what_the_stream_holds_online(world):
    deliver(world)
    feast = FeastSettings(repo=copy_of_repo(world.folder / "feast"))
    feast_repo.register(feast.repo, VIEW, world.home, promote=True)
    quick_feast.apply(feast, {VIEW.view: True})
    store = open_store(feast)
    assert set(read(store).values()) == {None}
    begin, end = (datetime.fromtimestamp(JUNE_S + days * 86_400, UTC) for days in (-1, 1))
    store.materialize(begin, end, feature_views=[VIEW.view])
    ibis.options.default_backend = None  # Feast's DuckDB; held to the end, it complains of leaks when Python ends
    streamed = {pump: (event_us // 10**6, number) for pump, (event_us, number) in world.online().items()}
    assert read(store) == streamed  # Feast's SQLite keeps whole seconds

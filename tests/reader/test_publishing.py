"""What `undertow apply` says beside the vectors is what Feast's registry has: applied, promoted, pruned."""

from dataclasses import replace
from datetime import timedelta

import pytest

import undertow
from tests.fleet import quick_feast
from tests.reader.conftest import FIRST, JUNE, SECOND, SIMPLE, ids, make_world
from undertow.adapters.feast_repo import forget
from undertow.adapters.feast_served import read_served
from undertow.adapters.redis_served import write_redis_served
from undertow.core.errors import Unavailable
from undertow.devstack.processes import free_port
from undertow.wiring import stores
from undertow.wiring.stores import publish_served

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_a_reader_sees_what_was_applied_promoted_and_pruned(request, tmp_path, kind):
    world = make_world(request, kind, tmp_path)
    world.recipes = {}
    world.apply(FIRST, SIMPLE)
    world.apply(SECOND)
    world.write(FIRST, ("s08", JUNE, 1))
    world.write(SECOND, ("s08", JUNE, 2))
    world.write(SIMPLE, ("s08", JUNE, 3))
    with undertow.Reader(world.repo, name="har", look_every=timedelta(0)) as reader:
        assert reader.get(ids("s08"))["gate"].tolist() == [[1.0]]
        world.apply(SECOND, promote=True, ttl_s=60)
        found = reader.get(ids("s08"))
        assert (found["gate"].tolist(), found.ttl) == ([[2.0]], timedelta(minutes=1))
    quick_feast.apply(world.feast, {}, pruned=[FIRST.view, SECOND.view])
    forget(world.repo, [FIRST.view, SECOND.view])
    publish_served(world.feast)
    with pytest.raises(undertow.Refused, match="does not say what 'har'"):
        undertow.Reader(world.repo, name="har").get(ids("s08"))
    assert undertow.Reader(world.repo, name="ecg").get(["s08"]).found.all()


def test_what_was_promoted_by_another_while_it_was_published_is_published_in_its_place(world, monkeypatch):
    if world.kind != "redis":
        pytest.skip("the same code")
    first = read_served(world.feast)
    answers = [{**first.served}, {}, {}]
    written = []
    monkeypatch.setattr(stores, "read_served", lambda _: replace(first, served=answers.pop(0)))
    monkeypatch.setattr(stores, "write_redis_served", lambda *arguments: written.append(arguments[2]))
    publish_served(world.feast)
    assert [set(records) for records in written] == [{"har", "ecg"}, set()]


def test_a_store_that_is_away_is_unavailable():
    options = {"type": "redis", "connection_string": f"127.0.0.1:{free_port()}"}
    with pytest.raises(Unavailable, match="Connection refused"):
        write_redis_served(options, "p", {"har": "{}"})

"""Readers of a Redis that is more than one plain server: a cluster, one behind sentinels, one that speaks TLS."""

import contextlib

import numpy as np
import pytest
from redis.crc import key_slot

import undertow
from tests.reader.conftest import FIRST, JUNE, SIMPLE, World, ids, vectors_of
from tests.redis_servers import client, cluster, watched
from tests.security.certificates import Authority
from tests.security.relay import tls_before
from undertow.adapters.feast_bytes import entity_keys
from undertow.devstack.processes import LOCALHOST, stop

pytestmark = pytest.mark.redis
COUNT = 300


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster"), 3) as ports:
        yield ports


@pytest.fixture(scope="module")
def on_cluster(nodes, tmp_path_factory):
    """A repository whose store is a cluster, of which its configuration names one node, with vectors of 300 series."""
    store = f"{{type: redis, redis_type: redis_cluster, connection_string: '{LOCALHOST}:{nodes[0]}'}}"
    world = World(tmp_path_factory.mktemp("repo"), "on_cluster", "redis", store)
    world.apply(FIRST, SIMPLE)
    world.read_applied()
    for view in (FIRST, SIMPLE):
        world.write(view, *((f"s{number:03d}", JUNE, number) for number in range(COUNT)))
    return world


def test_a_cluster_is_read_from_all_its_nodes_as_feast_reads_it(on_cluster, nodes, open_reader):
    for port in nodes:
        with client(port) as one:
            assert one.dbsize() > COUNT // 2  # of two views of other series
    wanted = ids(*(f"s{number:03d}" for number in range(COUNT - 1, -1, -1)), "nobody")
    found = open_reader(on_cluster.repo).get(wanted)
    assert found.found.tolist() == [True] * COUNT + [False]
    assert np.array_equal(found["hidden"][:COUNT], vectors_of(range(COUNT - 1, -1, -1), 3))
    theirs = on_cluster.stock(FIRST, wanted)["hidden"][:COUNT]
    assert np.array_equal(found["hidden"][:COUNT], np.array(theirs, np.float32))


def test_neighbours_are_looked_for_among_the_series_of_all_nodes(on_cluster, open_reader):
    found = open_reader(on_cluster.repo, name="ecg").neighbours("s100", 4, metric="euclidean")
    assert (found.indexed, found.series) == (COUNT, {"wearer": ["s099", "s101", "s098", "s102"]})


def test_a_slot_that_moves_to_another_node_is_followed(on_cluster, nodes, open_reader):
    on_cluster.write(FIRST, ("mover", JUNE, 5))
    (key,) = entity_keys({"wearer": np.array(["mover"], object), "session": np.array([7])})
    slot = key_slot(key + b"on_cluster")
    reader = open_reader(on_cluster.repo)
    wanted = ids("mover", "s007", "s008")
    assert reader.get(wanted).found.all()
    with contextlib.ExitStack() as stack:
        clients = {port: stack.enter_context(client(port)) for port in nodes}
        names = {port: one.execute_command("CLUSTER", "MYID").decode() for port, one in clients.items()}
        held = {port: one.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100) for port, one in clients.items()}
        (source,) = (port for port, keys in held.items() if keys)
        target = next(port for port in nodes if port != source)
        clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        clients[source].migrate(LOCALHOST, target, held[source], 0, 5000)
        assert reader.get(wanted).found.all()  # the one answers that the other is to be asked
        for port in (target, source):
            clients[port].execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])
    assert reader.get(wanted).found.all()
    on_cluster.write(FIRST, ("mover", JUNE + 1, 70))
    assert reader.get(wanted)["gate"].tolist() == [[70.0], [7.0], [8.0]]


@pytest.mark.usefixtures("on_cluster")
def test_a_node_of_a_cluster_by_its_address_alone_is_refused_by_its_setting(nodes, open_reader):
    reader = open_reader(f"redis://{LOCALHOST}:{nodes[0]}", project="on_cluster")
    with pytest.raises(undertow.Refused, match="redis_type: redis_cluster"):
        reader.get(ids(*(f"s{number:03d}" for number in range(9))))


def test_behind_sentinels_the_master_is_read_and_after_it_the_one_that_takes_over(tmp_path, open_reader):
    with watched(tmp_path) as (sentinel, master, port):
        options = f"redis_type: redis_sentinel, sentinel_master: undertow, connection_string: '{LOCALHOST}:{sentinel}'"
        world = World(tmp_path, "watched", "redis", f"{{type: redis, {options}}}")
        world.apply(SIMPLE)
        world.read_applied()
        world.write(SIMPLE, ("s08", JUNE, 1))
        reader = open_reader(world.repo, name="ecg")
        assert reader.get(["s08"]).found.all()
        with client(port) as one:
            one.wait(1, 10_000)  # the replica has it
        stop(master, grace_seconds=0)
        found = None
        while found is None:
            with contextlib.suppress(undertow.Unavailable):
                found = reader.get(["s08"])
        assert np.array_equal(found.vectors, vectors_of([1], 2))
        world.write(SIMPLE, ("s08", JUNE + 1, 2))
        assert np.array_equal(reader.get(["s08"]).vectors, vectors_of([2], 2))


def test_tls_is_spoken_where_the_address_says_so_to_a_server_that_is_trusted(
    world, redis_address, tmp_path, open_reader
):
    if world.kind != "redis":
        pytest.skip("of Redis")
    world.write(FIRST, ("s08", JUNE, 1))
    authority = Authority(tmp_path, "authority")
    port = int(redis_address.rpartition(":")[2])
    with tls_before(port, authority.sign("redis")) as tls:
        address = f"rediss://{LOCALHOST}:{tls}?ssl_ca_certs="
        reader = open_reader(f"{address}{authority.file}", project=world.project)
        assert reader.get(ids("s08")).found.all()
        other = Authority(tmp_path, "other")
        with pytest.raises(undertow.Refused, match="its certificate is not trusted"):
            open_reader(f"{address}{other.file}", project=world.project).get(ids("s08"))

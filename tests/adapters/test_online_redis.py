"""Redis: the very bytes of Feast, and what a server that fails, forgets or refuses means to the caller."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import redis
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from feast.types import Array, Float32, Int64, String
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.redis_servers import cluster
from undertow.adapters.feast_bytes import redis_field, timestamps
from undertow.adapters.online_redis import ORDER, RedisOnline
from undertow.adapters.redis_address import parse_connection
from undertow.core.errors import Refused, Unavailable
from undertow.devstack.processes import LOCALHOST, free_port, start, stop
from undertow.devstack.redis import RedisServer, await_redis, executable, start_redis
from undertow.schemas.embeddings import EmbeddingBatch

pytestmark = pytest.mark.redis

VIEW = "har__0a1b2c3d"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JUNE = 1_717_200_000_123_456


def batch(*rows):
    """Rows are (wearer, event time, number that the vector is made of)."""
    return EmbeddingBatch(
        space="0a1b2c3d" * 8,
        series={
            "wearer": np.array([row[0] for row in rows], object),
            "session": np.full(len(rows), 7, np.int64),
        },
        event_us=np.array([row[1] for row in rows], np.int64),
        created_us=np.full(len(rows), JUNE),
        features={"hidden": np.array([[row[2], 0.1] for row in rows], np.float32)},
    )


def sink(address, project, **options):
    host_and_options = options.pop("connection", "")
    return RedisOnline(options={"connection_string": address + host_and_options, **options}, project=project, view=VIEW)


class Feasts:
    """Feast's own Redis store."""

    def __init__(self, address, project, **options):
        self.config = RepoConfig(
            project=project,
            provider="local",
            registry="registry.db",
            online_store={"type": "redis", "connection_string": address, **options},
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
        self.view = FeatureView(
            name=VIEW,
            entities=[
                Entity(name="wearer", join_keys=["wearer"], value_type=ValueType.STRING),
                Entity(name="session", join_keys=["session"], value_type=ValueType.INT64),
            ],
            schema=[
                Field(name="wearer", dtype=String),
                Field(name="session", dtype=Int64),
                Field(name="hidden", dtype=Array(Float32)),
            ],
            source=FileSource(name="none", path="none", timestamp_field="event_timestamp"),
        )
        self.store = RedisOnlineStore()

    def key(self, wearer):
        return EntityKey(join_keys=["wearer", "session"], entity_values=[Value(string_val=wearer), Value(int64_val=7)])

    def write(self, wearer, event_us, number):
        vector = np.array([number, 0.1], np.float32).tolist()
        value = {"hidden": Value(float_list_val=FloatList(val=vector))}
        row = (self.key(wearer), value, EPOCH + timedelta(microseconds=event_us), None)
        self.store.online_write_batch(self.config, self.view, [row], None)

    def number(self, wearer):
        ((_, values),) = self.store.online_read(self.config, self.view, [self.key(wearer)])
        held = values["hidden"].float_list_val.val
        return held[0] if held else None


def run(server):
    process = start_redis(server, leashed=True)
    await_redis(server, process)
    return process


@pytest.fixture
def private(tmp_path):
    """A Redis that a test may stop, fill or lock."""
    server = RedisServer(folder=tmp_path / "redis", port=free_port())
    processes = [run(server)]
    yield server, processes
    stop(processes[-1], grace_seconds=10)


def client(address):
    host, _, port = address.partition(":")
    return redis.Redis(host=host, port=int(port))


def contents(address, project):
    connection = client(address)
    return {key.removesuffix(project.encode()): connection.hgetall(key) for key in connection.keys(f"*{project}")}


@pytest.mark.parametrize("event_us", [JUNE, JUNE // 10**6 * 10**6, 0, -1, -1_000_000, -2_208_988_800_000_000])
def test_the_hash_is_the_one_that_feast_writes(redis_address, feast_project, event_us):
    sink(redis_address, feast_project + "a").write(batch(("s08", event_us, 1), ("näh🌊", event_us, 2)))
    theirs = Feasts(redis_address, feast_project + "b")
    theirs.write("s08", event_us, 1)
    theirs.write("näh🌊", event_us, 2)
    ours = contents(redis_address, feast_project + "a")
    assert len(ours) == 2
    orders = {fields.pop(redis_field(VIEW, ORDER)) for fields in ours.values()}
    assert ours == contents(redis_address, feast_project + "b")
    assert orders == {JUNE.to_bytes(8, "big") + timestamps(np.array([event_us]))[0]}


def test_a_row_of_an_earlier_version_comes_before_all_others_of_its_time(redis_address, feast_project):
    ours, connection = sink(redis_address, feast_project), client(redis_address)
    ours.write(batch(("s08", JUNE, 1)))
    (key,) = connection.keys(f"*{feast_project}")
    assert connection.hdel(key, redis_field(VIEW, ORDER)) == 1
    assert ours.write(batch(("s08", JUNE - 1, 2))) == 0
    assert [ours.write(batch(("s08", JUNE, n))) for n in (3, 4)] == [1, 0]
    assert Feasts(redis_address, feast_project).number("s08") == 3


def test_what_feast_wrote_is_guarded_too(redis_address, feast_project):
    theirs, ours = Feasts(redis_address, feast_project), sink(redis_address, feast_project)
    theirs.write("s08", JUNE, 1)
    assert ours.write(batch(("s08", JUNE - 1, 2))) == 0
    assert ours.write(batch(("s08", JUNE + 1, 3))) == 1
    theirs.write("s08", JUNE, 4)
    assert theirs.number("s08") == 3


def test_the_key_lives_as_long_as_the_feast_config_says(redis_address, feast_project):
    sink(redis_address, feast_project, key_ttl_seconds=1000).write(batch(("s08", JUNE, 1)))
    connection = client(redis_address)
    assert [900 < connection.ttl(key) <= 1000 for key in connection.keys(f"*{feast_project}")] == [True]


def test_without_a_time_to_live_the_key_stays(redis_address, feast_project):
    sink(redis_address, feast_project, key_ttl_seconds=None).write(batch(("s08", JUNE, 1)))
    connection = client(redis_address)
    assert [connection.ttl(key) for key in connection.keys(f"*{feast_project}")] == [-1]


def test_a_server_that_lost_the_script_is_given_it_again(private):
    server, _ = private
    ours = sink(server.address, "p")
    ours.write(batch(*((f"s{i}", JUNE, i) for i in range(100))))
    client(server.address).script_flush()
    assert ours.write(batch(*((f"s{i}", JUNE + 1, i) for i in range(150)))) == 150


def test_a_stopped_server_is_unavailable_and_the_same_call_succeeds_when_it_is_back(private):
    server, processes = private
    ours = sink(server.address, "p")
    assert ours.write(batch(("s08", JUNE, 1))) == 1
    stop(processes[-1], grace_seconds=10)
    with pytest.raises(Unavailable, match=f"{server.address}.*connection_string"):
        ours.write(batch(("s08", JUNE + 1, 2)))
    processes.append(run(server))
    assert ours.write(batch(("s08", JUNE + 1, 2))) == 1
    assert Feasts(server.address, "p").number("s08") == 2


def test_a_server_that_was_never_there_is_unavailable():
    with pytest.raises(Unavailable, match="does not take writes now"):
        sink(f"{LOCALHOST}:{free_port()}", "p").check()


def test_a_full_server_is_unavailable(private):
    server, _ = private
    ours = sink(server.address, "p")
    ours.check()
    client(server.address).config_set("maxmemory", 1)
    with pytest.raises(Unavailable, match="OOM"):
        ours.write(batch(("s08", JUNE, 1)))
    client(server.address).config_set("maxmemory", 0)
    assert ours.write(batch(("s08", JUNE, 1))) == 1


def test_a_replica_that_takes_no_writes_is_unavailable(private):
    server, _ = private
    ours = sink(server.address, "p")
    ours.check()
    client(server.address).replicaof(LOCALHOST, free_port())
    with pytest.raises(Unavailable, match="read only"):
        ours.write(batch(("s08", JUNE, 1)))
    client(server.address).replicaof("NO", "ONE")
    assert ours.write(batch(("s08", JUNE, 1))) == 1


def test_a_password_is_used_and_a_wrong_one_is_refused(private):
    server, _ = private
    client(server.address).config_set("requirepass", "s3cret")
    assert sink(server.address, "p", connection=",password=s3cret,db=3").write(batch(("s08", JUNE, 1))) == 1
    with pytest.raises(Refused, match="login") as refusal:
        sink(server.address, "p", connection=",password=wr0ng").write(batch(("s08", JUNE, 1)))
    assert "wr0ng" not in str(refusal.value)


OPTIONS = st.dictionaries(
    st.sampled_from(["db", "ssl", "password", "username", "socket_timeout"]),
    st.sampled_from(["0", "3", "true", "s3=cret", "1.5", '"quoted"', "null", ""]),
)


@given(st.lists(st.tuples(st.sampled_from(["localhost", "10.0.0.1"]), st.integers(1, 65535)), min_size=1), OPTIONS)
def test_a_connection_string_is_read_as_feast_reads_it(servers, options):
    text = ",".join([*(f"{host}:{port}" for host, port in servers), *(f"{k}={v}" for k, v in options.items())])
    nodes, theirs = RedisOnlineStore._parse_connection_string(text)
    assert parse_connection(text) == ([(node["host"], int(node["port"])) for node in nodes], theirs)


@pytest.mark.parametrize("text", ["", "db=0", "localhost", "localhost:", ":6379", "${UNDERTOW_REDIS}"])
def test_a_connection_string_without_a_server_is_refused(text):
    with pytest.raises(Refused, match="expected host:port"):
        parse_connection(text)


def test_a_cluster_gets_each_key_at_its_slot(tmp_path):
    with cluster(tmp_path, 3) as ports:
        address = f"{LOCALHOST}:{ports[0]}"
        ours = sink(address, "p", redis_type="redis_cluster")
        assert ours.write(batch(*((f"s{i}", JUNE, i) for i in range(100)))) == 100
        assert ours.write(batch(*((f"s{i}", JUNE - (i % 2), i) for i in range(100)))) == 0
        for port in ports:
            client(f"{LOCALHOST}:{port}").script_flush()
        assert ours.write(batch(*((f"s{i}", JUNE + (i % 2), i) for i in range(100)))) == 50
        theirs = Feasts(address, "p", redis_type="redis_cluster")
        assert [theirs.number(f"s{i}") for i in range(3)] == [0, 1, 2]
        names = {"wearer": np.array([f"s{i}" for i in range(200)], object), "session": np.full(200, 7)}
        assert (ours.count_held(names, ["hidden"]), ours.forget(names, ["hidden"])) == (100, 100)
        assert ours.count_held(names, ["hidden"]) == 0
        ours.close()


def test_behind_sentinels_the_master_is_written(private, tmp_path):
    server, _ = private
    port, config = free_port(), tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind {LOCALHOST}\nsentinel monitor undertow {LOCALHOST} {server.port} 1\n")
    process = start([executable(), str(config), "--sentinel"], log=tmp_path / "sentinel.log", leashed=True)
    try:
        redis.Redis(host=LOCALHOST, port=port, retry=Retry(ConstantBackoff(0.05), 200)).ping()
        ours = sink(f"{LOCALHOST}:{port}", "p", redis_type="redis_sentinel", sentinel_master="undertow")
        assert ours.write(batch(("s08", JUNE, 1))) == 1
        other = sink(f"{LOCALHOST}:{port}", "p", redis_type="redis_sentinel", sentinel_master="nobody")
        with pytest.raises(Unavailable, match="No master"):
            other.check()
    finally:
        stop(process, grace_seconds=10)
    assert Feasts(server.address, "p").number("s08") == 1


def test_importing_the_adapters_does_not_import_feast():
    names = ["online_redis", "online_sqlite", "online_feast", "feast_repo"]
    code = "\n".join(
        ["import sys", *(f"import undertow.adapters.{name}" for name in names), "print('feast' in sys.modules)"]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

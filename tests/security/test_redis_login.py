"""Passwords, users and TLS of Redis: what our writer logs in with, stock readers of Feast log in with too."""

from urllib.parse import quote

import pytest
import redis

from tests.adapters.test_online_redis import JUNE, VIEW, Feasts, batch
from tests.security.certificates import Authority
from tests.security.relay import tls_before
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.redis_address import in_feasts_words
from undertow.core.errors import Refused
from undertow.devstack.processes import LOCALHOST, free_port, stop
from undertow.devstack.redis import RedisServer, await_redis, start_redis

pytestmark = pytest.mark.redis

ODD = "a,b:12 #$\\\"'@/é😀"
RULES = "on >s3cret ~* +@read +@write +@scripting +@connection +info"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Redis whose default user is out, and where alice may read and write."""
    server = RedisServer(folder=tmp_path_factory.mktemp("redis"), port=free_port())
    process = start_redis(server, leashed=True)
    await_redis(server, process)
    admin = redis.Redis(host=LOCALHOST, port=server.port)
    admin.execute_command("ACL", "SETUSER", "alice", *RULES.split())
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">s3cret", "~*", "+@read", "+@connection", "+info")
    admin.execute_command("ACL", "SETUSER", "odd", "on", f">{ODD}", "~*", "+@all")
    admin.execute_command("ACL", "SETUSER", "default", "off")
    yield server
    stop(process, grace_seconds=10)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


def write_and_read(connection, project):
    """Write by our sink, read by Feast's own store, with one and the same connection."""
    ours = RedisOnline(options={"connection_string": connection}, project=project, view=VIEW)
    ours.check()
    assert ours.write(batch(("s08", JUNE, 4))) == 1
    ours.close()
    assert Feasts(in_feasts_words(connection), project).number("s08") == 4


def refusal(connection):
    with pytest.raises(Refused) as caught:
        RedisOnline(options={"connection_string": connection}, project="p", view=VIEW).write(batch(("s08", JUNE, 1)))
    text = str(caught.value)
    assert "s3cret" not in text
    assert "wr0ng" not in text
    assert "\n" not in text
    return text


LOGIN = "username=alice,password=s3cret"


def test_a_user_with_a_password_writes_and_reads(server, feast_project):
    write_and_read(f"{server.address},{LOGIN}", feast_project)


@pytest.mark.parametrize("login", ["", ",username=alice,password=wr0ng", ",username=bob,password=s3cret"])
def test_who_is_not_known_is_refused(server, login):
    assert "refuses the login" in refusal(server.address + login)


def test_a_user_who_may_only_read_is_refused_by_the_command_that_it_misses(server):
    assert "no permissions" in refusal(f"{server.address},username=reader,password=s3cret")


def test_tls_with_an_authority_of_ones_own(server, authority, feast_project):
    with tls_before(server.port, authority.sign("redis")) as port:
        tls = f"{LOCALHOST}:{port},ssl=true,ssl_ca_certs={authority.file},{LOGIN}"
        write_and_read(tls, feast_project)


def test_tls_with_a_certificate_of_the_client(server, authority, feast_project):
    pair = authority.sign("alice")
    with tls_before(server.port, authority.sign("redis"), clients=authority) as port:
        tls = f"{LOCALHOST}:{port},ssl=true,ssl_ca_certs={authority.file},{LOGIN}"
        write_and_read(f"{tls},ssl_certfile={pair.certificate},ssl_keyfile={pair.key}", feast_project)


@pytest.mark.parametrize("what", ["stranger", "expired", "elsewhere"])
def test_a_server_that_is_not_trusted_is_refused_at_once(server, authority, tmp_path, what):
    signs = Authority(tmp_path, "stranger") if what == "stranger" else authority
    pair = signs.sign("redis", is_expired=what == "expired", host="127.0.0.9" if what == "elsewhere" else LOCALHOST)
    with tls_before(server.port, pair) as port:
        said = refusal(f"{LOCALHOST}:{port},ssl=true,ssl_ca_certs={authority.file},{LOGIN}")
    assert "its certificate is not trusted" in said


def test_the_forms_of_a_url_write_and_read_as_feasts_own_do(server, authority, feast_project):
    write_and_read(f"redis://alice:s3cret@{server.address}?socket_timeout=5", feast_project)
    with tls_before(server.port, authority.sign("redis")) as port:
        url = f"rediss://alice:s3cret@{LOCALHOST}:{port}?ssl_ca_certs={authority.file}"
        write_and_read(url, f"{feast_project}_tls")


def test_a_password_of_any_letters_is_taken_right_from_a_url(server, feast_project):
    write_and_read(f"redis://odd:{quote(ODD, safe='')}@{server.address}/3", feast_project)


def test_a_file_that_is_not_there_is_refused_by_its_option(server):
    said = refusal(f"{server.address},ssl=true,ssl_ca_certs=/no/such.pem,{LOGIN}")
    assert "UNDERTOW_REDIS" in said
    assert "the file that ssl_ca_certs= names is not there" in said

"""What is wrong about a connection to Redis for good is refused by its option; what may pass is waited for."""

import pytest
import redis

from tests.security.certificates import Authority
from tests.security.relay import tls_before
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.redis_address import in_feasts_words
from undertow.adapters.redis_faults import LASTING, LOGIN, PASSING, translate_error
from undertow.core.errors import Refused, Unavailable
from undertow.devstack.processes import LOCALHOST, free_port

pytestmark = pytest.mark.redis


@pytest.fixture
def files(tmp_path):
    authority = Authority(tmp_path, "authority")
    locked, other = authority.sign("alice", password="k3y"), authority.sign("bob")
    (tmp_path / "garbage").write_text("garbage")
    return {
        "{ca}": authority.file,
        "{crt}": locked.certificate,
        "{locked}": locked.key,
        "{other}": other.key,
        "{garbage}": tmp_path / "garbage",
    }


def refusal(connection: str, **options: str) -> str:
    sink = RedisOnline(options={"connection_string": connection, **options}, project="p", view="v")
    with pytest.raises(Refused) as caught:
        sink.check()
    said = str(caught.value)
    assert "UNDERTOW_REDIS" in said
    assert "wr0ng" not in said
    return said


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("db=99", "db= there"),
        ("db=abc", "db= takes a whole number"),
        ("protocol=7", "protocol= there is 2 or 3"),
        ("socket_timeout=-1", "does not take the options"),
        ("cluster_error_retry_attempts=3", "does not take the options"),
        ("client_name=a b", "Client names"),
        ("ssl=true", "speaks without TLS there"),
    ],
)
def test_an_option_that_is_wrong_for_good_is_refused_by_its_name(redis_address, option, words):
    assert words in refusal(f"{redis_address},{option}")


@pytest.mark.parametrize("kind", ["redis_cluster", "redis_sentinel"])
def test_a_server_of_another_kind_than_feasts_config_says_is_refused(redis_address, kind):
    assert "online_store.redis_type" in refusal(redis_address, redis_type=kind)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ssl_ca_certs={garbage}", "(ssl_ca_certs="),
        ("ssl_ca_certs={ca},ssl_certfile={garbage}", "(ssl_certfile="),
        ("ssl_ca_certs={ca},ssl_certfile={crt},ssl_keyfile={other}", "is not that of the certificate"),
        ("ssl_ca_certs={ca},ssl_certfile={crt},ssl_keyfile={locked}", "is locked by a password, and none is given"),
        ("ssl_ca_certs={ca},ssl_certfile={crt},ssl_keyfile={locked},ssl_password=wr0ng", "ssl_password="),
        ("ssl_ca_certs={ca},ssl_min_version=1", "ssl_min_version= takes nothing that a text can say"),
        ("ssl_ca_certs={ca},ssl_ciphers=foo", "ssl_ciphers= there"),
    ],
)
def test_files_of_tls_are_refused_by_their_option_and_no_terminal_is_asked(redis_address, files, option, words):
    for name, file in files.items():
        option = option.replace(name, str(file))
    port = int(redis_address.rpartition(":")[2])
    with tls_before(port, Authority(files["{ca}"].parent, "again").sign("redis")) as tls:
        assert words in refusal(f"{LOCALHOST}:{tls},ssl=true,{option}")


def test_a_port_that_speaks_tls_is_told_from_one_that_does_not(redis_address, files):
    port = int(redis_address.rpartition(":")[2])
    with tls_before(port, Authority(files["{ca}"].parent, "again").sign("redis")) as tls:
        assert "speaks TLS there: it takes ssl=true, or rediss://" in refusal(f"{LOCALHOST}:{tls}")
    assert "speaks without TLS there" in refusal(f"rediss://{redis_address}")


def test_a_port_that_nobody_listens_on_is_waited_for():
    sink = RedisOnline(options={"connection_string": f"{LOCALHOST}:{free_port()}"}, project="p", view="v")
    with pytest.raises(Unavailable):
        sink.check()


def test_every_error_of_the_client_is_either_waited_for_or_refused():
    texts = dict(LASTING)
    for kind in (*PASSING, *LOGIN, redis.ResponseError, redis.DataError, OSError):
        verdict = translate_error(kind("words of the server"), "words of the server", "Redis at h:1", "write view v")
        assert isinstance(verdict, Refused if kind in (*LOGIN, redis.ResponseError, redis.DataError) else Unavailable)
        assert "Redis at h:1" in str(verdict)
        for words, remedy in texts.items():
            if kind not in LOGIN:
                assert remedy in str(translate_error(kind(words), words, "Redis at h:1", "write view v"))


def test_a_locked_key_is_refused_before_feasts_own_client_would_ask_for_it(redis_address, files, tmp_path):
    from undertow.adapters.feast_store import open_store  # noqa: PLC0415 - Feast takes seconds
    from undertow.settings.sections import FeastSettings  # noqa: PLC0415 - likewise

    tls = f"{redis_address},ssl=true,ssl_certfile={files['{crt}']},ssl_keyfile={files['{locked}']}"
    store = f"online_store:\n  type: redis\n  connection_string: {in_feasts_words(tls)}\n"
    (tmp_path / "feature_store.yaml").write_text(f"project: p\nregistry: r.db\nprovider: local\n{store}")
    with pytest.raises(Refused, match="is locked by a password"):
        open_store(FeastSettings(repo=tmp_path))

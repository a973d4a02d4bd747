"""Both forms of an address of Redis: read alike, refused in a line of its setting, and never repeated."""

from urllib.parse import quote

import pytest
from feast.infra.online_stores.redis import RedisOnlineStore
from hypothesis import given
from hypothesis import strategies as st

from undertow.adapters.redis_address import in_feasts_words, parse_connection, read_connection, secrets_of
from undertow.core.errors import Refused

SECRET = "s3cr3t-s1ngs"
REFUSED = (
    f"host:1,password=a,{SECRET}",
    f"host:1,password=a,{SECRET}:12",
    f"host:1,password=a,{SECRET}=1",
    f"host:1,{SECRET}=x",
    f"host:1, password={SECRET}",
    f"host:1,Password={SECRET}",
    f"host:1,foo={SECRET}",
    f"host:1,db={SECRET}",
    f"host:1,ssl={SECRET}",
    f"host:1,socket_timeout={SECRET}",
    f"host:1,ssl_ca_certs=/{SECRET}",
    "host:1,password=true",
    "host:1,password=1.50",
    "host:1,db=true",
    "host:1,ssl=True",
    f":{SECRET}@host:1",
    f"me:{SECRET}@host:1,db=0",
    f"redis//:{SECRET}@host:1",
    f"redis://:{SECRET}@host:x",
    f"redis://:{SECRET}/1@host:1",
    f"redis://:{SECRET}#1@host:1",
    f"redis://:{SECRET}?1@host:1",
    f"redis://me:1/{SECRET}@host:1",
    f"redis://me:1#{SECRET}@host:1",
    f"redis://me:1?{SECRET}@host:1",
    f"redis://me:1?{SECRET}=@host:1",
    f"redis://:{SECRET}@host:1/x",
    f"redis://:{SECRET}@host:1?foo=1",
    f"redis://:{SECRET}@host:1?db=x",
    f"http://:{SECRET}@host:1",
    f"unix://:{SECRET}@/tmp/redis",
    f"redis://:{SECRET}@",
    f"redis://:{SECRET}@host:1,db=0",
)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_misread_is_refused_in_a_line_that_names_the_variable_and_repeats_nothing(text):
    with pytest.raises(Refused) as caught:
        read_connection(text)
    said = str(caught.value)
    assert said.startswith("UNDERTOW_REDIS, or online_store.connection_string")
    assert SECRET not in said
    assert "\n" not in said
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["Password", " password", "pasword"])
def test_a_name_that_is_nearly_right_comes_with_the_right_one(name):
    with pytest.raises(Refused, match=r"did you mean password="):
        read_connection(f"host:1,{name}=x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://host", "host:6379"),
        ("redis://host:1/3", "host:1,db=3"),
        ("rediss://me:x@host:1", 'host:1,ssl=true,username="me",password="x"'),
        ("redis://:007@host:1", 'host:1,password="007"'),
        ("redis://:a%2Cb@host:1", 'host:1,password="a\\u002cb"'),
        ("redis://host:1?ssl=true&socket_timeout=2", "host:1,ssl=true,socket_timeout=2"),
        ("host:1,db=3,password=x", "host:1,db=3,password=x"),
    ],
)
def test_a_url_is_put_in_feasts_words(url, words):
    assert in_feasts_words(url) == words


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), db=st.integers(0, 15))
def test_feast_reads_of_a_url_what_we_read_whatever_the_password(password, db):
    url = f"rediss://me:{quote(password, safe='')}@host:1/{db}"
    servers, options = read_connection(url)
    assert options == {"db": db, "ssl": True, "username": "me", "password": password}
    words = in_feasts_words(url)
    assert parse_connection(words) == (servers, options)
    _, theirs = RedisOnlineStore._parse_connection_string(words)
    assert theirs == options
    assert password in secrets_of(url)
    assert quote(password, safe="") in secrets_of(url)

"""Whatever is nested in options, no secret is in what is shown of them, or in what a vendor says of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.core.masking import MASK, is_secret, masked, secrets_in, without

NAMES = ("sasl_plain_password", "client_secret", "bearer.auth.token", "basic.auth.user.info", "ssl.key.password")
# Nothing that an innocent text holds by chance.
secrets = st.text(st.sampled_from("kqzKQZ'\"\\%$#! é"), min_size=6).filter(lambda text: text == text.strip())


def options(secret):
    """Options of any depth with the secret in one or more of the ways that vendors write one."""
    safe = secret.replace(" ", "+")
    ways = [
        st.sampled_from(NAMES).map(lambda name: {name: secret}),
        st.just({"proxy_url": f"http://me:{safe}@proxy:1080"}),
        st.just({"connection_string": f"localhost:6379,db=0,password={safe}"}),
        st.just({"ssl_key": f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"}),
    ]
    inner = st.recursive(
        st.one_of(ways),
        lambda deeper: st.one_of(deeper.map(lambda d: {"deep": d}), deeper.map(lambda d: {"list": [1, d, "x"]})),
        max_leaves=4,
    )
    return st.tuples(st.just(secret), inner)


@given(secrets.flatmap(options))
def test_no_secret_is_shown_of_options_or_of_what_is_said_of_them(drawn):
    secret, given_options = drawn
    shown = json.dumps(masked("extra", given_options), ensure_ascii=False)
    said = without(f"a client with {given_options} failed: {secret}, {secret!r}", secrets_in(given_options))
    for text in (shown, said.partition(" failed: ")[0]):
        assert secret not in text
        assert secret.replace(" ", "+") not in text
        assert MASK in text


@pytest.mark.parametrize("name", ["password_file", "oauth_token_file", "ssl.key.location", "topic", "sasl_mechanism"])
def test_the_place_of_a_secret_is_no_secret(name):
    assert not is_secret(name)
    assert masked(name, "/run/secrets/x") == "/run/secrets/x"


def test_a_secret_that_is_part_of_another_leaves_nothing_of_the_other():
    assert without("abcdef abc", ["abc", "abcdef"]) == f"{MASK} {MASK}"

"""What only its owner may read: Ray's token, and the folders that commands make for themselves."""

import os
import socket
import stat
from contextlib import closing

import pytest

from undertow.core.errors import Refused
from undertow.core.private_files import cache_folder, keep_secret, make_folder
from undertow.ray_session.start import keep_token_private, reaching


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A fresh home, the usual mask, and an environment that says nothing of Ray."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def test_the_token_is_there_before_ray_makes_it_and_nobody_else_reads_it(home, caplog):
    keep_token_private()
    token = home / ".ray" / "auth_token"
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    written = token.read_text()
    assert len(written) == 64
    keep_token_private()
    assert token.read_text() == written
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]
    assert caplog.text == ""


def test_a_token_that_others_could_read_is_closed_to_them_and_told(home, caplog):
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("0123abcd")
    assert mode(token) == 0o644
    keep_token_private()
    assert (mode(token), mode(token.parent), token.read_text()) == (0o600, 0o700, "0123abcd")
    assert "could be read by others until now" in caplog.text
    assert "0123abcd" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "x"), ("RAY_AUTH_TOKEN_PATH", "/run/token")]
)
def test_a_token_that_the_environment_gives_or_forbids_is_not_made(home, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    keep_token_private()
    assert not (home / ".ray").exists()


def test_a_home_that_cannot_hold_the_token_is_refused_in_a_line(home):
    (home / ".ray").write_text("a file")
    with pytest.raises(Refused, match=r"auth_token.*HOME, RAY_AUTH_TOKEN_PATH"):
        keep_token_private()


def test_two_that_make_a_secret_at_once_agree_on_one(tmp_path):
    keep_secret(tmp_path / "token", "HOME")
    first = (tmp_path / "token").read_text()
    assert not keep_secret(tmp_path / "token", "HOME")
    assert (tmp_path / "token").read_text() == first


def test_our_folders_are_their_owners_alone_and_those_that_a_user_names_are_as_his_mask_says(home):
    make_folder(home / "work" / ".undertow" / "offline")
    assert (mode(home / "work"), mode(home / "work" / ".undertow")) == (0o755, 0o700)
    make_folder(home / "log")
    make_folder(home / "log")
    assert mode(home / "log") == 0o755
    (home / ".cache" / "undertow").mkdir(parents=True)
    assert mode(cache_folder()) == 0o700
    assert cache_folder() == home / ".cache" / "undertow"


def test_a_ray_that_listens_on_loopback_alone_is_joined_there_and_one_where_nothing_listens_is_not():
    from ray._private import ray_constants  # noqa: PLC0415 half a second
    from ray.util import get_node_ip_address  # noqa: PLC0415 likewise

    def is_loopback(address):
        with reaching(address, network=get_node_ip_address()):
            return not ray_constants.ENABLE_RAY_CLUSTER

    with closing(socket.create_server(("127.0.0.1", 0))) as here:
        address = f"127.0.0.1:{here.getsockname()[1]}"
        assert is_loopback(address)
    assert ray_constants.ENABLE_RAY_CLUSTER
    with pytest.raises(OSError, match="refused"):
        is_loopback(address)
    with closing(socket.create_server(("", 0))) as everywhere:
        assert not is_loopback(f"127.0.0.1:{everywhere.getsockname()[1]}")
    assert not is_loopback("auto")

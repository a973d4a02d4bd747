"""A lock in S3: one holder, whatever happens to replies; one that was left is taken over once."""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError

from feature_repo import registry_lock
from feature_repo.registry_lock import object_lock
from tests.s3_line import Line
from tests.s3_server import BUCKET, KEY, REGION, SECRET

pytestmark = pytest.mark.s3
HOLDERS, TURNS = 6, 8
LEFT = -5.0
"""An age in seconds that each lock has reached: a server's times are whole seconds."""


@pytest.fixture
def environment(monkeypatch, s3):
    """The environment by which boto3 finds the server, to be pointed elsewhere."""
    monkeypatch.setattr(registry_lock, "PAUSE_S", 0.01)
    given = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    for name, value in {**given, "FEAST_S3_ENDPOINT_URL": s3.options().endpoint}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def address(environment, store_root):  # noqa: ARG001
    return f"{store_root}/registry.db.lock"


def test_one_holds_it_at_a_time_and_nothing_is_left(address, store_root):
    held, most = [], []
    start = threading.Barrier(HOLDERS, timeout=60)

    def take(holder):
        start.wait()
        for _ in range(TURNS):
            with object_lock(address):
                held.append(holder)
                most.append(len(held))
                held.remove(holder)

    with ThreadPoolExecutor(HOLDERS) as holders:
        list(holders.map(take, range(HOLDERS)))
    assert most == [1] * HOLDERS * TURNS
    assert [*store_root.glob("*")] == []


def test_who_waits_too_long_is_told_whose_it_is_and_when_it_ends(address):
    expected = f"another apply has held {address} for 0 s, .*is taken over 300 s after it was made"
    with object_lock(address), pytest.raises(TimeoutError, match=expected), object_lock(address, wait_s=0):
        raise AssertionError


def test_one_that_was_left_is_taken_over_and_stays_when_its_first_holder_comes_back(address, store_root):
    lock = store_root / "registry.db.lock"
    with contextlib.ExitStack() as second:
        with object_lock(address):
            left = lock.read_bytes()
            second.enter_context(object_lock(address, wait_s=0, abandoned_s=LEFT))
            taken = lock.read_bytes()
        assert lock.read_bytes() == taken != left
    assert not lock.exists()


@pytest.mark.usefixtures("environment")
def test_of_several_who_would_take_one_over_one_alone_does(store_root):
    client = boto3.client("s3", endpoint_url=os.environ["FEAST_S3_ENDPOINT_URL"])
    place = {"Bucket": BUCKET, "Key": f"{store_root.key}/lock"}
    start = threading.Barrier(HOLDERS, timeout=60)

    def take(holder):
        own = boto3.Session().client("s3", endpoint_url=os.environ["FEAST_S3_ENDPOINT_URL"])  # as each apply has
        start.wait()
        return registry_lock._took_over(own, place, str(holder).encode(), LEFT)

    client.put_object(**place, Body=b"left")
    with ThreadPoolExecutor(HOLDERS) as holders:
        assert sum(holders.map(take, range(HOLDERS))) == 1


@pytest.mark.parametrize("script", [["lose"], ["busy"], ["busy", "lose"]])
def test_a_lock_whose_reply_was_lost_is_held_and_given_back(environment, address, store_root, s3, script):
    left = [*script]
    line = Line(s3.port, lambda: left.pop(0) if left else "pass")
    environment.setenv("FEAST_S3_ENDPOINT_URL", s3.options(line.port).endpoint)
    with object_lock(address):
        assert (store_root / "registry.db.lock").exists()
    line.close()
    assert not left
    assert [*store_root.glob("*")] == []


def test_a_bucket_that_is_not_ours_is_told_at_once(environment, address):
    environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"), object_lock(address):
        raise AssertionError

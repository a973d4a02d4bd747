"""Of several who create one object exactly one does, whatever happens to the replies; and servers that break this."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.s3_line import Fate, Line
from undertow.adapters.offline_root import make_log, read_nonce
from undertow.core.errors import Refused, Unavailable
from undertow.storage import conditional_puts
from undertow.storage.conditional_puts import CREATORS, FOLDER, require_conditional_puts
from undertow.storage.creation import create_object
from undertow.storage.store_path import StorePath

RACES, WRITERS = 150, 4


def test_who_comes_second_changes_nothing_and_who_tries_again_is_still_the_first(root):
    path = root / "a"
    assert create_object(path, b"first")
    assert not create_object(path, b"second")
    assert create_object(path, b"first")
    assert path.read_bytes() == b"first"


def test_of_writers_at_once_exactly_one_creates_each_object(root):
    start = threading.Barrier(WRITERS, timeout=60)

    def write(writer: int) -> list[bool]:
        won = []
        for race in range(RACES):
            start.wait()
            won.append(create_object(root / str(race), f"{writer}".encode()))
        return won

    with ThreadPoolExecutor(WRITERS) as writers:
        outcomes = list(writers.map(write, range(WRITERS)))
    for race, won in enumerate(zip(*outcomes, strict=True)):
        assert (root / str(race)).read_bytes() == f"{won.index(True)}".encode()
        assert won.count(True) == 1


def test_a_server_that_keeps_the_promise_passes_and_nothing_is_left_of_the_races(root):
    assert require_conditional_puts(root) > 0
    assert [*(root / FOLDER).glob("*")] == []


def test_a_server_that_lets_several_win_is_refused(careless_root):
    with pytest.raises(Refused, match="lets several writers create one object: expected 1 of 4 to win, found 4"):
        require_conditional_puts(careless_root)


def test_no_log_is_made_on_such_a_server(careless_root):
    with pytest.raises(Refused, match="lets several writers create one object"):
        make_log(careless_root)
    assert read_nonce(careless_root) == ""


@pytest.mark.s3
def test_a_store_that_is_away_or_refuses_us_is_told_before_anything_is_written(store_root, monkeypatch):
    monkeypatch.setattr("undertow.storage.store_client.RETRIES", 0)
    away = StorePath(store_root.bucket, "x", replace(store_root.options, endpoint="http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match=r"could not be written .*section store"):
        require_conditional_puts(away)
    stranger = StorePath(store_root.bucket, "x", replace(store_root.options, secret_access_key="me"))
    with pytest.raises(Refused, match=r"cannot be written .*section store"):
        require_conditional_puts(stranger)
    nowhere = StorePath("s3://no-such-bucket", "x", store_root.options)
    with pytest.raises(Unavailable, match=r"could not be written .*NoSuchBucket"):
        require_conditional_puts(nowhere)


@pytest.fixture
def through(s3, store_root) -> Iterator[Callable[..., StorePath]]:
    """Return a function that gives the prefix over a line with a script."""
    lines: list[Line] = []

    def open_line(*script: Fate) -> StorePath:
        left = [*script]
        line = Line(s3.port, lambda: left.pop(0) if left else "pass")
        lines.append(line)
        return StorePath(store_root.bucket, store_root.key, s3.options(line.port))

    yield open_line
    for line in lines:
        line.close()


@pytest.mark.s3
@pytest.mark.parametrize("script", [["lose"], ["busy"], ["busy", "lose", "busy"], ["lose", "lose"]])
def test_a_reply_that_is_lost_after_the_object_was_made_is_not_taken_for_anothers(through, store_root, script):
    """obstore tries again, and hears that the object is there: its content says that it is ours."""
    assert create_object(through(*script) / "a", b"ours")
    assert (store_root / "a").read_bytes() == b"ours"
    assert not create_object(through(*script) / "a", b"another's")
    assert (store_root / "a").read_bytes() == b"ours"


@pytest.mark.s3
def test_a_race_whose_winner_lost_his_reply_proves_nothing_and_is_run_again(through, store_root):
    assert require_conditional_puts(through(*["lose"] * CREATORS)) == conditional_puts.RACES
    assert [*(store_root / FOLDER).glob("*")] == []


@pytest.mark.s3
def test_a_store_that_tells_nobody_that_he_won_is_tried_again_later(through, store_root, monkeypatch):
    monkeypatch.setattr(conditional_puts, "TURNS", 1)
    with pytest.raises(Unavailable, match="told none of 4 writers"):
        require_conditional_puts(through(*["lose"] * CREATORS))
    assert [*(store_root / FOLDER).glob("*")] == []


def test_a_server_that_tells_one_that_he_won_and_has_the_bytes_of_another_is_refused(root, monkeypatch):
    def tell_one(path: StorePath, content: bytes) -> None:
        if content == b"2":
            return
        path.write_bytes(b"1")
        raise FileExistsError

    monkeypatch.setattr(StorePath, "put_new", tell_one)
    with pytest.raises(Refused, match="expected 1 of 4 to win, found 2"):
        require_conditional_puts(root)


@pytest.mark.s3
def test_where_nothing_is_known_of_a_creation_it_fails_and_the_same_call_finds_its_own_object(through, monkeypatch):
    monkeypatch.setattr("undertow.storage.store_client.RETRIES", 0)
    path = through("lose", "busy") / "a"
    with pytest.raises(OSError, match="/a"):
        create_object(path, b"ours")
    assert create_object(path, b"ours")

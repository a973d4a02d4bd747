"""A store that is away when `undertow run` starts is waited for, and named once."""

import pytest

from undertow.core.errors import Refused, Unavailable
from undertow.devstack.processes import free_port, stop
from undertow.devstack.redis import RedisServer, await_redis, start_redis
from undertow.fleet.run import once_ready
from undertow.wiring.root import stream_recipe


def test_what_does_not_answer_is_named_once_and_asked_again():
    answers, said, waited = iter([Unavailable("a"), Unavailable("a"), Unavailable("b"), "ready"]), [], []

    def look_up():
        if isinstance(answer := next(answers), Unavailable):
            raise answer
        return answer

    assert once_ready(look_up, said.append, waited.append) == "ready"
    assert [line.rpartition(": ")[2] for line in said] == ["a", "b"]
    assert len(waited) == 3


def test_what_is_refused_is_not_waited_for():
    def look_up():
        message = "no"
        raise Refused(message)

    with pytest.raises(Refused, match="no"):
        once_ready(look_up, pytest.fail, pytest.fail)


@pytest.mark.kafka
@pytest.mark.redis
def test_a_fleet_starts_once_its_redis_does(make_place, monkeypatch, tmp_path):
    settings = make_place(partitions=1).settings
    server = RedisServer(folder=tmp_path / "redis", port=free_port())
    monkeypatch.setenv("UNDERTOW_REDIS", server.address)
    said, started = [], []

    def start_it(line):
        said.append(line)
        started.append(start_redis(server, leashed=True))
        await_redis(server, started[0])

    try:
        recipe = once_ready(lambda: stream_recipe(settings), start_it, lambda _seconds: None)
        assert recipe.fleet.name == settings.fleet.name
        assert server.address in said[0]
        assert "Ctrl-C" in said[0]
    finally:
        for process in started:
            stop(process, grace_seconds=5.0)

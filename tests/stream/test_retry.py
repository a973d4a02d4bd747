"""The one retry: how long it waits, when it ends, what it retries and what it tells."""

import itertools

import pytest

from undertow.core.errors import Refused, Unavailable
from undertow.stream.events import Recovered, Retrying
from undertow.stream.retry import LONGEST_DELAY_S, SAY_SO_EVERY_S, Retry, RetryState


class Time:
    """A clock that waiting winds, and what was waited."""

    def __init__(self):
        self.now, self.waits = 0.0, []

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def failing(*errors, then="done"):
    """Return an operation that raises these, one a call, and then returns."""
    left = iter(errors)

    def act():
        if (error := next(left, None)) is not None:
            raise error
        return then

    return act


@pytest.fixture
def time():
    return Time()


def make(time, **options):
    return Retry(clock=time, wait=time.wait, jitter=lambda: 1.0, **options)


def test_delays_double_up_to_the_longest_and_begin_anew_with_each_operation(time):
    retry = make(time)
    assert retry(failing(*[Unavailable("away")] * 9)) == "done"
    assert time.waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_DELAY_S, LONGEST_DELAY_S]
    time.waits.clear()
    retry(failing(Unavailable("away")))
    assert time.waits == [0.05]


def test_jitter_makes_a_delay_shorter_by_up_to_half(time):
    Retry(clock=time, wait=time.wait, jitter=lambda: 0.0)(failing(Unavailable("away")))
    assert time.waits == [0.025]


def test_it_ends_after_its_time_with_the_last_error(time):
    errors = (Unavailable(f"away {number}") for number in itertools.count())
    with pytest.raises(Unavailable, match="away 14"):
        make(time, for_s=40.0)(failing(*itertools.islice(errors, 100)))
    assert 40.0 <= time.now < 40.0 + LONGEST_DELAY_S


def test_it_ends_when_it_is_told_to(time):
    with pytest.raises(Unavailable, match="third"):
        make(time, give_up=iter([False, False, True]).__next__)(
            failing(Unavailable("first"), Unavailable("second"), Unavailable("third"))
        )


@pytest.mark.parametrize(("on", "error"), [(Unavailable, Refused("never")), (ConnectionError, Unavailable("ours"))])
def test_another_error_is_raised_at_once(time, on, error):
    with pytest.raises(type(error)):
        make(time, on=on)(failing(error))
    assert time.waits == []


def test_a_vendors_error_can_be_what_passes(time):
    assert make(time, on=ConnectionError)(failing(ConnectionResetError(), ConnectionRefusedError())) == "done"


def test_it_tells_once_a_minute_and_at_the_end_and_shows_what_it_waits_for(time):
    told, state = [], RetryState()

    def wait(seconds):
        assert state.blocked == "redis is away"
        time.wait(seconds)

    retry = Retry(clock=time, wait=wait, jitter=lambda: 1.0, tell=told.append, state=state)
    retry(failing(*[Unavailable("redis is away")] * 20))
    assert [type(event) for event in told] == [Retrying, Retrying, Recovered]
    assert told[-1].seconds > SAY_SO_EVERY_S
    assert (state.retries, state.blocked) == (20, None)

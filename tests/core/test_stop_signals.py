"""A signal that ends a command ends it with a sentence, wherever it comes."""

import contextlib
import signal

import pytest

from undertow.core.errors import Refused
from undertow.core.stop_signals import ended_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_runs_by_a_refusal_that_names_it_and_handlers_are_as_before(number):
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with (
        pytest.raises(Refused, match=f"^ended by {number.name}: run it again$"),
        ended_by_signals("run it again"),
        contextlib.suppress(Exception),  # as other packages do around their calls: a signal is no failure of theirs
    ):
        signal.raise_signal(number)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_without_a_signal_nothing_is_made_of_an_interrupt():
    with pytest.raises(KeyboardInterrupt), ended_by_signals("run it again"):
        raise KeyboardInterrupt

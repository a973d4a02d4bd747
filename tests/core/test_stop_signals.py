"""A signal that ends a command ends it with a sentence, wherever it comes."""

import contextlib
import signal

import click
import pytest
from click.testing import CliRunner

from undertow.cli.group import OneLineGroup
from undertow.core.errors import EndedBySignal
from undertow.core.stop_signals import ended_by_signals


@pytest.fixture
def _no_nohup():
    """Let SIGHUP be heeded, also where whoever started the tests has it ignored."""
    own = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, own)


@pytest.mark.usefixtures("_no_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_runs_by_an_interrupt_that_names_it_and_handlers_are_as_before(number):
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with (
        pytest.raises(EndedBySignal, match=f"^ended by {number.name}: run it again$"),
        ended_by_signals("run it again"),
        contextlib.suppress(Exception),  # as other packages do around their calls: a signal is no failure of theirs
    ):
        signal.raise_signal(number)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_command_that_a_signal_ends_prints_what_is_left_to_do():
    @click.group(cls=OneLineGroup)
    def cli():
        pass

    @cli.command()
    def work():
        with ended_by_signals("run it again"):
            signal.raise_signal(signal.SIGTERM)

    ended = CliRunner().invoke(cli, ["work"])
    assert (ended.exit_code, ended.output) == (1, "error: ended by SIGTERM: run it again\n")


def test_who_does_the_work_as_a_part_of_their_own_handles_the_interrupt_as_any_other():
    with pytest.raises(KeyboardInterrupt), ended_by_signals("run it again"):
        signal.raise_signal(signal.SIGINT)

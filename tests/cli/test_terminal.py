"""Nothing that a command prints steers the terminal, and no text is taken for markup."""

import io

import pytest
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from undertow.telemetry.terminal import Terminal

ODD = "\x1b]0;mine\x07[/red] :bug: \x9b2J"


def printed(console: Console, what: object) -> str:
    with console.capture() as captured:
        console.print(what, soft_wrap=True, highlight=False)
    return captured.get()


def terminal() -> Terminal:
    return Terminal(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")


def table(cell: object) -> Table:
    found = Table(title=str(cell))
    found.add_column(str(cell))
    found.add_row(cell)
    return found


@pytest.mark.parametrize("what", [ODD, Text(ODD), table(ODD), table(Text(ODD)), Group(Text(ODD), "x")], ids=type)
def test_odd_letters_are_shown_and_do_nothing(what):
    shown = printed(terminal(), what)
    assert r"\x1b]0;mine" in shown
    assert "[/red] :bug:" in shown
    assert "\x1b]" not in shown
    assert "\x9b" not in shown
    assert "\x07" not in shown


def test_our_own_colours_and_lines_stay():
    shown = printed(terminal(), Text.assemble(("ok", "green"), " first\nsecond"))
    assert shown == "\x1b[32mok\x1b[0m first\nsecond\n"

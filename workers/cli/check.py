"""`undertow check`: settings, and what they name.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

import sys

import click

from undertow.cli.options import settings_options


@click.command()
@click.option("--verify", "is_whole", is_flag=True, help="Read the whole offline log, and name each damaged file.")
@settings_options
def check(overrides: tuple[str, ...], *, is_whole: bool) -> None:
    """Print the settings in force, secrets masked, and whether everything they name can be reached.

    \b
    undertow check --verify
    """
    from undertow.commands.check import check as look
    from undertow.telemetry.terminal import Terminal

    sys.exit(0 if look(overrides, Terminal(), verify=is_whole) else 1)

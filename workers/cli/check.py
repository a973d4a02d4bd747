"""`undertow check`: show the settings, and test whether everything they name can be reached.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import sys

import click

from undertow.cli.options import settings_options


@click.command()
@click.option("--verify", "is_whole", is_flag=True, help="Read the whole offline log, and report damaged files.")
@settings_options
def check(overrides: tuple[str, ...], *, is_whole: bool) -> None:
    """Show the settings, and test what they name.

    Prints every setting in force and where it was set, with secrets masked; then whether the artifact, the broker, the
    stores and the log that they name can be reached. Changes nothing.

    \b
    undertow check --verify
    """
    from undertow.commands.check import check as look
    from undertow.telemetry.terminal import Terminal

    sys.exit(0 if look(overrides, Terminal(), verify=is_whole) else 1)

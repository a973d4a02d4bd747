"""`undertow up` and `undertow down`: start and stop a Kafka and a Redis on this machine.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the commands.
"""

from pathlib import Path

import click

from undertow.cli.paths import LocalPathType
from undertow.telemetry.output import say

in_folder = click.option(
    "--folder",
    type=LocalPathType(file_okay=False),
    default=Path(".undertow/stack"),
    show_default=True,
    help="Folder for their data, logs and process ids.",
)


@click.command()
@in_folder
@click.option("--persist", is_flag=True, help="Keep the data after `undertow down`.")
def up(folder: Path, *, persist: bool) -> None:
    """Start a local Kafka and Redis.

    Both are real servers, installed from packages. Prints the variables with their addresses, for a shell to source.

    \b
    undertow up
    """
    from undertow.devstack.stack import up as start

    stack = start(folder, persist=persist)
    say(f"export UNDERTOW_KAFKA__BOOTSTRAP={stack.bootstrap}", f"export UNDERTOW_REDIS={stack.redis}")


@click.command()
@in_folder
def down(folder: Path) -> None:
    """Stop what `undertow up` started."""
    from undertow.devstack.stack import down as stop

    say("stopped" if stop(folder) else "nothing was running")

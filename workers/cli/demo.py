"""`undertow demo`: the whole job on real data.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from pathlib import Path

import click

from undertow.cli.paths import LocalPathType


@click.command()
@click.option(
    "--state",
    type=LocalPathType(file_okay=False),
    default=Path(".undertow/demo"),
    show_default=True,
    help="Folder for everything that it writes, kept for the next run.",
)
def demo(state: Path) -> None:
    """Run the whole job on real data.

    It trains, packs, backfills, streams and classifies, and ends with a table and a picture.
    """
    from undertow.demo.flow import run_flow
    from undertow.telemetry.terminal import Terminal

    run_flow(state, Terminal())

"""`undertow demo`: the whole job.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
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
    help="Folder for all that it makes, and keeps for the next time.",
)
def demo(state: Path) -> None:
    """Run the whole job on real data: train, pack, backfill, stream, classify; ends with a table and a picture."""
    from undertow.demo.flow import run_flow
    from undertow.telemetry.terminal import Terminal

    run_flow(state, Terminal())

"""`undertow init`: create a project.

In: arguments. Out: a folder. Knows no rule; heavy imports are inside the command.
"""

from pathlib import Path

import click

from undertow.cli.paths import LocalPathType
from undertow.telemetry.output import say


@click.command()
@click.argument("folder", type=LocalPathType(file_okay=False), metavar="DIR")
def init(folder: Path) -> None:
    """Create a project in DIR.

    It holds undertow.toml with every setting as a comment, a Feast repository, and an example model. Existing files are
    not changed.

    \b
    undertow init pumps
    """
    from undertow.commands.init import make_project

    say(*make_project(folder))

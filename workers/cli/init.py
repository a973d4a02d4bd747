"""`undertow init`: a project of one's own.

In: arguments. Out: a folder. Knows no rule; what is heavy is imported inside.
"""

from pathlib import Path

import click

from undertow.cli.paths import LocalPathType


@click.command()
@click.argument("folder", type=LocalPathType(file_okay=False), metavar="DIR")
def init(folder: Path) -> None:
    """Make a project in DIR: undertow.toml with every setting as a comment, a Feast repository, a model as an example.

    Nothing that is there already is changed.

    \b
    undertow init pumps
    """
    from undertow.commands.init import make_project

    for line in make_project(folder):
        click.echo(line)

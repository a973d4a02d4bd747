"""`undertow get`: look up one embedding.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import click

from undertow.cli.options import settings_options
from undertow.telemetry.output import say


@click.command()
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="ID=VALUE...")
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@settings_options
def get(name: str, keys: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Look up the newest embedding of a series.

    NAME is the name of an artifact or of a view; ID=VALUE are the ids of the series.

    \b
    undertow get watch wearer=s08 side=left
    """
    from undertow.commands.get import look_up
    from undertow.settings.settings import load

    say(*look_up(load(overrides), name, keys, as_json=as_json).splitlines())

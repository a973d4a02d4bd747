"""`undertow get`: one embedding.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

import click

from undertow.cli.options import settings_options


@click.command()
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="ID=VALUE...")
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@settings_options
def get(name: str, keys: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Look the newest embedding of one series up.

    \b
    undertow get watch wearer=s08 side=left
    """
    from undertow.commands.get import look_up
    from undertow.settings.settings import load

    click.echo(look_up(load(overrides), name, keys, as_json=as_json))

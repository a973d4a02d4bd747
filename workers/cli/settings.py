"""`undertow settings`: the reference of all settings.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import click


@click.command()
@click.argument("key", required=False)
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
def settings(key: str | None, *, as_json: bool) -> None:
    """Show the reference of the settings.

    Lists each setting's type, default and meaning: all settings, those of one section, or one.

    \b
    undertow settings kafka
    undertow settings offline.checkpoint_seconds
    undertow settings UNDERTOW_KAFKA__TOPIC
    """
    from undertow.commands.settings import show
    from undertow.telemetry.terminal import Terminal

    show(key, Terminal(), as_json=as_json)

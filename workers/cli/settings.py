"""`undertow settings`: what can be set.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

import click


@click.command()
@click.argument("key", required=False)
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
def settings(key: str | None, *, as_json: bool) -> None:
    """Show what can be set, what each setting is for, and its default: all, a section's, or one.

    \b
    undertow settings kafka
    undertow settings offline.checkpoint_seconds
    """
    from undertow.commands.settings import show
    from undertow.telemetry.terminal import Terminal

    show(key, Terminal(), as_json=as_json)

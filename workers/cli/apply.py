"""`undertow apply`: register artifacts with Feast.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from functools import partial

import click

from undertow.cli.options import seconds, settings_options
from undertow.telemetry.output import say


@click.command()
@click.option("--promote", is_flag=True, help="Serve this space to readers of the stable name.")
@click.option(
    "--ttl", "ttl_s", callback=seconds, metavar="6h", help="How old a vector may be in Feast's joins; 0 for any age."
)
@click.option("--prune", is_flag=True, help="Delete the views of all other artifacts, with their online vectors.")
@click.option("--yes", is_flag=True, help="Do not ask before --prune deletes.")
@click.option("--accept-lost", is_flag=True, help="Continue the log although parts of it are lost for ever.")
@settings_options
def apply(
    overrides: tuple[str, ...], *, promote: bool, ttl_s: int | None, prune: bool, yes: bool, accept_lost: bool
) -> None:
    """Register artifacts with Feast.

    Each artifact gets a feature view and a feature service; whatever else the repository defines is applied, too.
    What is registered already stays. The first space of a name
    is served at once; a retrained model's only by --promote, after its backfill. A view keeps its ttl; if none was ever
    given, it is derived from the offline log.

    \b
    undertow apply --set model.artifact=artifact
    """
    from undertow.commands.apply import apply as register
    from undertow.settings.settings import load

    names = register(
        load(overrides),
        promote=promote,
        ttl_s=ttl_s,
        prune=prune,
        ask=not yes,
        accept_lost=accept_lost,
        say=partial(say, err=True),
    )
    say(*names)

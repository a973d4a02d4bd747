"""`undertow apply`: artifacts made known to Feast.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

from functools import partial

import click

from undertow.cli.options import seconds, settings_options


@click.command()
@click.option("--promote", is_flag=True, help="Give readers of the stable name this space from now on.")
@click.option(
    "--ttl", "ttl_s", callback=seconds, metavar="6h", help="How long a vector counts in Feast's joins; 0 for ever."
)
@click.option("--prune", is_flag=True, help="Delete all other artifacts' views, with their online vectors.")
@click.option("--yes", is_flag=True, help="Do not ask before --prune deletes.")
@click.option("--accept-lost", is_flag=True, help="Go on without parts of the offline log that are gone for ever.")
@settings_options
def apply(
    overrides: tuple[str, ...], *, promote: bool, ttl_s: int | None, prune: bool, yes: bool, accept_lost: bool
) -> None:
    """Register each artifact's Feast view and service, and whatever else the repository defines.

    What others have registered stays. The first space of a name is served at once; a retrained model's only with
    --promote, after its backfill. A view's ttl is kept; one that was never given is derived from the log.

    \b
    undertow apply --set model.artifact=artifact
    """
    from undertow.commands.apply import apply as register
    from undertow.settings.settings import load

    say = partial(click.echo, err=True)
    names = register(
        load(overrides), promote=promote, ttl_s=ttl_s, prune=prune, ask=not yes, accept_lost=accept_lost, say=say
    )
    click.echo("\n".join(names))

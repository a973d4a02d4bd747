"""The commands before a run: what is in force and can be reached, and artifacts made known to Feast.

In: arguments. Out: text, exit codes. Knows no rule. Heavy imports stand inside the commands.
"""

import sys
from functools import partial

import click

from workers.cli_duration import seconds
from workers.cli_model import settings_options


@click.command()
@click.option("--verify", "is_whole", is_flag=True, help="Read the whole offline log, and name each damaged file.")
@settings_options
def check(overrides: tuple[str, ...], *, is_whole: bool) -> None:
    """Print the settings in force, secrets masked, and whether everything they name can be reached.

    \b
    undertow check --verify
    """
    from workers.check import check as look
    from workers.terminal import Terminal

    sys.exit(0 if look(overrides, Terminal(), verify=is_whole) else 1)


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
    from workers.registration import apply as register
    from workers.settings import load

    say = partial(click.echo, err=True)
    names = register(
        load(overrides), promote=promote, ttl_s=ttl_s, prune=prune, ask=not yes, accept_lost=accept_lost, say=say
    )
    click.echo("\n".join(names))

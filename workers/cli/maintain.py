"""`undertow maintain`: fold the offline log into its table of history.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import click

from undertow.cli.options import seconds, settings_options


def _pause(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if (pause := seconds(ctx, param, value)) == 0:
        message = "expected a pause of at least 1s"
        raise click.BadParameter(message, ctx, param)
    return pause


@click.command()
@click.option(
    "--every", "every_s", callback=_pause, metavar="5m", help="Do it again and again, with this pause, until Ctrl-C."
)
@click.option(
    "--set-aside",
    "topic_id",
    metavar="ID",
    help="Fold nothing: move the chains of a topic that was deleted, and had this id, out of the way.",
)
@settings_options
def maintain(overrides: tuple[str, ...], every_s: int | None, topic_id: str | None) -> None:
    """Fold the offline log into large files.

    A stream writes a file a partition at each checkpoint. This puts them into a Delta table in the log's folder, by day
    of event time, and deletes them when they have been in it for offline.grace_seconds. join, view, rebuild and Feast
    read both. A fleet does it by itself, every offline.maintain_seconds. It may run beside everything else, more than
    once, and be killed at any time. With --every Ctrl-C and SIGTERM end it in order.

    A topic that was deleted and made anew has offsets that begin again. With --set-aside its old chains make room for
    new ones; their rows stay readable. End the fleet and other maintainers before. Killed, it goes on when run again.

    \b
    undertow maintain --every 5m
    """
    from undertow.history.maintaining import run, set_aside
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    if topic_id is None:
        run(load(overrides), Terminal(), every_s=every_s)
    elif every_s is None:
        set_aside(load(overrides), Terminal(), topic_id)
    else:
        message = "--set-aside moves chains once, and --every folds again and again: leave one of them out"
        raise click.UsageError(message)

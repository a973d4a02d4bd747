"""`undertow rebuild`: fill the online store from the offline log.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import click

from undertow.cli.options import settings_options, time_us


@click.command()
@click.option(
    "--as-of",
    "as_of_us",
    metavar="TIME",
    callback=time_us,
    help="Fill it with what had been delivered by this time (ISO 8601 with a zone), as an empty store would have held "
    "it then. Newer vectors that the store holds stay.",
)
@settings_options
def rebuild(as_of_us: int | None, overrides: tuple[str, ...]) -> None:
    """Fill the online store from the offline log.

    For a store whose data was lost, or another one chosen by feast.config. Writes the newest vectors of each series
    unless the store holds newer ones, so it may run beside a live fleet, and be repeated at any time. `undertow check`
    tells whether it is needed.

    \b
    undertow apply --set feast.config=feature_store.redis.yaml
    undertow rebuild --set feast.config=feature_store.redis.yaml
    undertow rebuild --as-of 2026-11-29T08:00Z --set feast.config=feature_store.redis.yaml
    """
    from undertow.history.rebuild import run
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    run(load(overrides), Terminal(), as_of_us=as_of_us)

"""`undertow rebuild`: fill the online store from the offline log.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import click

from undertow.cli.options import settings_options


@click.command()
@settings_options
def rebuild(overrides: tuple[str, ...]) -> None:
    """Fill the online store from the offline log.

    For a store whose data was lost, or another one chosen by feast.config. Writes the newest vectors of each series
    unless the store holds newer ones, so it may run beside a live fleet, and be repeated at any time. `undertow check`
    tells whether it is needed.

    \b
    undertow apply --set feast.config=feature_store.redis.yaml
    undertow rebuild --set feast.config=feature_store.redis.yaml
    """
    from undertow.history.rebuild import run
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    run(load(overrides), Terminal())

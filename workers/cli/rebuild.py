"""`undertow rebuild`: the online store filled again.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

import click

from undertow.cli.options import settings_options


@click.command()
@settings_options
def rebuild(overrides: tuple[str, ...]) -> None:
    """Fill the online store from the offline log: after it was lost, or another one was chosen (feast.config).

    Each series' newest vectors are written unless the store holds newer ones, so it may run beside a fleet, and be
    started again at any time. `undertow check` tells whether it is needed.

    \b
    undertow apply --set feast.config=feature_store.redis.yaml
    undertow rebuild --set feast.config=feature_store.redis.yaml
    """
    from undertow.history.rebuild import run
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    run(load(overrides), Terminal())

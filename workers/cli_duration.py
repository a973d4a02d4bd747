"""A duration as an option of a command.

In: text such as 6h. Out: whole seconds. Knows no command.
"""

import click

from workers.core.durations import parse_duration


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return what an option says, for its `callback`; ends the command with its usage where that is no duration."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None

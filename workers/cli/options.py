"""Options that several commands share.

In: a command, or the text of an option. Out: the command with the options, or the value. Knows no command.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from undertow.cli.paths import ExistingPathType
from undertow.core.durations import parse_duration

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(command: F) -> F:
    """Add `--set` to a command."""
    return click.option(
        "overrides",
        "--set",
        "-s",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Override a setting of UNDERTOW_SECTION__KEY or undertow.toml. For all keys: undertow settings.",
    )(command)


def names_fleet(overrides: tuple[str, ...]) -> bool:
    """Return whether a command line names the fleet that it means, whose ever it is."""
    return any(override.partition("=")[0].strip() == "fleet.name" for override in overrides)


def model_options(command: F) -> F:
    """Add the options by which a command reads a trained model."""
    options = [
        click.argument("checkpoint", type=ExistingPathType(dir_okay=False), metavar="CHECKPOINT|TOML"),
        click.option(
            "--series", multiple=True, help="Id column, as NAME or NAME:integer; default: the data set's group ids."
        ),
        click.option(
            "--model-class",
            help="The class of the checkpoint's model, which a checkpoint does not name: "
            "pytorch_forecasting.RecurrentNetwork, or a derived class of yours as package.module:Name, with --code.",
        ),
        click.option(
            "--trust", is_flag=True, help="Allow the checkpoint's pickles to run. Only for a file that you trust."
        ),
        click.option(
            "--code",
            multiple=True,
            help="Package from which the class of a TOML or of --model-class is imported; adds to model.code.",
        ),
        settings_options,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Parse a duration; a click callback, which raises `click.BadParameter` for other texts."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def time_us(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Parse a time into microseconds since the epoch; a click callback, which raises `click.BadParameter`."""
    from undertow.schemas.times import parse_time

    try:
        return None if value is None else parse_time(value)
    except ValueError as error:
        message = f"{value!r} is {error}: expected one such as 2026-11-29T08:00:00Z"
        raise click.BadParameter(message, ctx, param) from None

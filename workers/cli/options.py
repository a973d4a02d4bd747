"""Options that several commands take.

In: a command, or what was typed. Out: the command with the options, or the value. Knows no command.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from undertow.cli.paths import ExistingPathType
from undertow.core.durations import parse_duration

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(command: F) -> F:
    """Let a command take settings."""
    return click.option(
        "overrides",
        "--set",
        "-s",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="A setting; goes before UNDERTOW_SECTION__KEY and undertow.toml. All of them: undertow check.",
    )(command)


def model_options(command: F) -> F:
    """Let a command read a trained model."""
    options = [
        click.argument("checkpoint", type=ExistingPathType(dir_okay=False), metavar="CHECKPOINT|TOML"),
        click.option(
            "--series", multiple=True, help="Id column NAME or NAME:integer; default: the dataset's group ids."
        ),
        click.option(
            "--model-class",
            help="The checkpoint's class, which no checkpoint tells: pytorch_forecasting.RecurrentNetwork, or one of "
            "yours that is derived from it, package.module:Name, with --code.",
        ),
        click.option(
            "--trust", is_flag=True, help="Run the checkpoint's pickles. Say so only of a file that you trust."
        ),
        click.option(
            "--code",
            multiple=True,
            help="Package that the class of a TOML or of --model-class comes from; as well as model.code.",
        ),
        settings_options,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return what an option says, for its `callback`; ends the command with its usage where that is no duration."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None

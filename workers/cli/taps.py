"""`undertow taps`: what can be tapped in a model.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

from pathlib import Path
from typing import Any

import click

from undertow.cli.options import model_options


@click.command()
@model_options
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@click.option("is_whole", "--all", is_flag=True, help="Also what lies inside the layers shown.")
def taps(
    checkpoint: Path,
    overrides: tuple[str, ...],
    series: tuple[str, ...],
    code: tuple[str, ...],
    *,
    as_json: bool,
    is_whole: bool,
    **options: Any,
) -> None:
    """Show every layer that fires: what can be tapped, of which shape, at what cost, what it sees; and a suggestion.

    What it sees is measured: each step and each column of sample windows is changed, and the vector with it or not. The
    suggestion is the last recurrent layer whose steps follow the window's, else the first one that goes on from there,
    else the last layer named encoder, the last such convolution, the last vector that an activation gives; only of what
    has seen the newest step, in all of its channels.

    \b
    undertow taps model.ckpt --trust
    undertow taps model.toml --code mypackage
    """
    import torch

    from undertow.artifact.pack.read.trained import read_trained
    from undertow.artifact.pack.survey.survey import survey
    from undertow.commands.taps import show
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    settings = load(overrides).model
    torch.set_num_threads(settings.threads)  # the costs shown are a replica's
    trained = read_trained(checkpoint, series=series or None, code=(*settings.code, *code), **options)
    for sentence in trained.notes:
        click.echo(f"note: {sentence}", err=True)
    found = survey(trained)
    show(found, Terminal(), as_json=as_json, is_whole=is_whole)

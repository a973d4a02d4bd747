"""`undertow taps`: show what can be tapped in a model.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from pathlib import Path
from typing import Any

import click

from undertow.cli.options import model_options
from undertow.telemetry.output import say


@click.command()
@model_options
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@click.option("is_whole", "--all", is_flag=True, help="Show nested layers of every depth.")
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
    """Show what can be tapped in a model.

    For each layer: its shape, the cost of stopping there, what its vector depends on; and a suggestion. What a vector
    depends on is measured, by changing each step and each column of sample windows. Suggested is only a layer that
    depends on the newest step in all channels: the last recurrent layer whose steps follow the window's (or the first
    one that continues from it), the last layer named encoder, the last convolution, or the last activation's vector.

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
        say(f"note: {sentence}", err=True)
    found = survey(trained)
    show(found, Terminal(), as_json=as_json, is_whole=is_whole)

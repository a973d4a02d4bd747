"""`undertow describe`: show what an artifact takes and gives.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import sys
from typing import TYPE_CHECKING

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import PlaceType
from undertow.storage.store_path import AnyPath
from undertow.telemetry.output import say_bytes

if TYPE_CHECKING:
    from undertow.commands.samples import Form

SAMPLES = ("json", "avro", "arrow", "parquet")


@click.command()
@click.argument("artifact", required=False, type=PlaceType())
@click.option("--code", multiple=True, help="Package from which the model's class may be imported; adds to model.code.")
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "form",
    "--sample",
    type=click.Choice(SAMPLES),
    help="Print one made-up window, or its observations, and nothing else.",
)
@settings_options
def describe(
    overrides: tuple[str, ...], artifact: AnyPath | None, code: tuple[str, ...], *, as_json: bool, form: "Form | None"
) -> None:
    """Show what an artifact takes and gives.

    That is: the columns of its windows, its features and what they depend on, its certificate, a sample window. The
    artifact is also loaded, as in a replica, and all warnings are shown with their details.

    With --sample it is not loaded. One valid window is written, as the value of a Kafka record (json, avro, arrow) or
    as a file for undertow produce and undertow backfill (parquet). Its numbers are made up, and it ends in 2000, so
    that it hides no real window of its series online. Where records hold observations (kafka.content), those of one
    window are written instead, on the grid of windows.every.

    \b
    undertow describe artifact
    undertow describe artifact --sample json | kcat -P -b localhost:9092 -t windows
    undertow describe artifact --sample parquet > window.parquet && undertow produce window.parquet
    """
    from undertow.commands.describe import describe as show
    from undertow.commands.describe import sample
    from undertow.settings.artifact_paths import only
    from undertow.settings.settings import load, reached
    from undertow.telemetry.terminal import Terminal

    everything = load(overrides)
    settings = everything.model
    path = only(settings.artifacts) if artifact is None else reached(artifact, everything, "ARTIFACT")
    if form is None:
        model = settings.model_copy(update={"code": (*settings.code, *code)})
        show(path, model, Terminal(), as_json=as_json, settings=everything)
        return
    if as_json:
        message = "--sample prints one window, and --json all of it, with samples of every form: leave one of them out"
        raise click.UsageError(message)
    if form != "json" and sys.stdout.isatty():
        message = f"expected a file or a pipe for bytes, found a terminal: --sample {form} > window.{form}"
        raise click.UsageError(message)
    sample(path, form, say_bytes, everything)

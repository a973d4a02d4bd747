"""The commands for whoever has a model: what can be tapped, and packing it.

In: arguments. Out: text. Knows no rule. Heavy imports stand inside the commands, so that `--help` answers at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from workers.cli_duration import seconds
from workers.option_paths import ExistingPathType, LocalPathType

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


@click.command()
@model_options
@click.option("as_json", "--json", is_flag=True)
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

    from workers.artifact.survey import survey
    from workers.artifact.trained import read_trained
    from workers.settings import load
    from workers.tap_table import show
    from workers.terminal import Terminal

    settings = load(overrides).model
    torch.set_num_threads(settings.threads)  # the costs shown are a replica's
    trained = read_trained(checkpoint, series=series or None, code=(*settings.code, *code), **options)
    for sentence in trained.notes:
        click.echo(f"note: {sentence}", err=True)
    found = survey(trained)
    show(found, Terminal(), as_json=as_json, is_whole=is_whole)


@click.command()
@model_options
@click.option("--name", required=True, help="The stable name that readers use.")
@click.option(
    "--tap",
    "taps",
    required=True,
    multiple=True,
    metavar="[FEATURE=]PATH[:POOL][,pca=N][,l2]",
    help="A module, and how to pool it: last, mean, max, first, flatten, or several as last+mean[-8:]. Or forecast.",
)
@click.option("--fit", type=ExistingPathType(), help="Windows to fit pca=N on: Parquet.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="bfloat16 where torch.autocast takes it: other numbers, so another space.",
)
@click.option(
    "--compile", "is_compiled", is_flag=True, help="Keep native code for this machine too; model.run_compiled runs it."
)
@click.option(
    "--ttl", "ttl_s", callback=seconds, metavar="6h", help="How long a vector counts in Feast's joins; 0 for ever."
)
@click.option("--output", type=LocalPathType(), help="Folder to write; default: model.artifact.")
def pack(
    overrides: tuple[str, ...],
    taps: tuple[str, ...],
    series: tuple[str, ...],
    code: tuple[str, ...],
    output: Path | None,
    **options: Any,
) -> None:
    """Turn a Lightning checkpoint, or a plain module that a TOML describes, into an artifact: certified, safe to load.

    \b
    undertow pack model.ckpt --name watch --tap rnn:last+mean+max --series wearer --series side --trust
    undertow pack model.ckpt --name watch --tap hidden=rnn:mean[-8:],pca=16,l2 --tap ahead=forecast --fit past.parquet
    undertow pack model.toml --name watch --tap conv1:mean+max --code mypackage
    """
    from workers.artifact.fresh import fresh_process
    from workers.artifact_paths import only
    from workers.core.features import name_features
    from workers.settings import load

    everything = load(overrides)
    settings = everything.model
    folder = output or only(settings.artifacts)
    options["batches"] = (everything.kafka.max_batch, everything.backfill.chunk_rows)
    options |= {"code": (*settings.code, *code), "note": lambda text: click.echo(f"note: {text}", err=True)}
    named = name_features(taps)
    with fresh_process(is_forecaster=options["checkpoint"].suffix != ".toml") as afresh:  # it imports beside us
        import torch

        from workers.artifact.pack import pack as pack_artifact

        # What is certified is a replica's forward; and a container that has fewer cores than its machine, for each of
        # which torch would start a thread, would spend its time waiting for them.
        torch.set_num_threads(settings.threads)
        manifest = pack_artifact(output=folder, taps=named, series=series or None, afresh=afresh, **options)
    click.echo(f"{folder}: {manifest.view().view}, {manifest.description}")
    if manifest.certificate is not None:
        click.echo("\n".join(manifest.certificate.lines()))


@click.command()
@click.argument("artifact", required=False, type=LocalPathType())
@click.option("--code", multiple=True, help="Package that the artifact may name; as well as model.code.")
@click.option("as_json", "--json", is_flag=True)
@settings_options
def describe(overrides: tuple[str, ...], artifact: Path | None, code: tuple[str, ...], *, as_json: bool) -> None:
    """Show what an artifact takes and gives: windows, features and what they see, its certificate, a sample window.

    It is also loaded, as a replica would, and what that says is shown in whole.

    \b
    undertow describe artifact
    """
    from workers.artifact_paths import only
    from workers.describe import describe as show
    from workers.settings import load
    from workers.terminal import Terminal

    settings = load(overrides).model
    model = settings.model_copy(update={"code": (*settings.code, *code)})
    show(artifact or only(settings.artifacts), model, Terminal(), as_json=as_json)

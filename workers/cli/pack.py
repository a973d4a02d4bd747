"""`undertow pack`: turn a trained model into an artifact.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from typing import Any

import click

from undertow.cli.options import model_options, seconds
from undertow.cli.paths import ExistingPathType, PlaceType
from undertow.storage.store_path import AnyPath
from undertow.telemetry.output import say


@click.command()
@model_options
@click.option("--name", required=True, help="The stable name that readers use.")
@click.option(
    "--tap",
    "taps",
    required=True,
    multiple=True,
    metavar="[FEATURE=]PATH[:POOL][,pca=N][,l2]",
    help="A module and its pooling: last, mean, max, first, flatten, or several as last+mean[-8:]. Or forecast.",
)
@click.option("--fit", type=ExistingPathType(), help="Parquet with windows on which pca=N is fitted.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="bfloat16 runs the forward under torch.autocast: other vectors, so another space.",
)
@click.option(
    "--compile",
    "is_compiled",
    is_flag=True,
    help="Add native code for this kind of machine; model.run_compiled runs it.",
)
@click.option(
    "--ttl", "ttl_s", callback=seconds, metavar="6h", help="How old a vector may be in Feast's joins; 0 for any age."
)
@click.option("--output", type=PlaceType(), help="Folder or address to write; default: model.artifact.")
def pack(
    overrides: tuple[str, ...],
    taps: tuple[str, ...],
    series: tuple[str, ...],
    code: tuple[str, ...],
    output: AnyPath | None,
    **options: Any,
) -> None:
    """Turn a trained model into an artifact.

    The model is a Lightning checkpoint of pytorch-forecasting, or any nn.Module that a TOML describes. The artifact is
    certified on sample windows, and safe to load: it holds no pickles.

    \b
    undertow pack model.ckpt --name watch --tap rnn:last+mean+max --series wearer --series side --trust
    undertow pack model.ckpt --name watch --tap hidden=rnn:mean[-8:],pca=16,l2 --tap ahead=forecast --fit past.parquet
    undertow pack model.toml --name watch --tap conv1:mean+max --code mypackage
    """
    from undertow.artifact.pack.certify.fresh import fresh_process
    from undertow.core.features import name_features
    from undertow.settings.artifact_paths import only
    from undertow.settings.settings import load, reached

    everything = load(overrides)
    settings = everything.model
    folder = only(settings.artifacts) if output is None else reached(output, everything, "--output")
    options["batches"] = (everything.kafka.max_batch, everything.backfill.chunk_rows)
    options |= {"code": (*settings.code, *code), "note": lambda text: say(f"note: {text}", err=True)}
    named = name_features(taps)
    with fresh_process(is_forecaster=options["checkpoint"].suffix != ".toml") as afresh:  # imports in the background
        import torch

        from undertow.artifact.pack.packer import pack as pack_artifact

        # As in a replica, whose forward is certified here. torch's default, a thread for each core of the machine,
        # is slow in a container that may use fewer cores.
        torch.set_num_threads(settings.threads)
        manifest = pack_artifact(output=folder, taps=named, series=series or None, afresh=afresh, **options)
    say(f"{folder}: {manifest.view().view}, {manifest.description}")
    if manifest.certificate is not None:
        say(*manifest.certificate.lines())

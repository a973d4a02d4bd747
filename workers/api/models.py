"""Pack trained models, and list what can be tapped in them, from Python.

In: a checkpoint, a TOML or a module. Out: an artifact's folder, or the possible taps. Knows neither settings nor
streams.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from torch import nn

from undertow.artifact.format.spaces import FLOAT32, Precision
from undertow.artifact.pack.certify.fresh import fresh_process
from undertow.artifact.pack.packer import pack as pack_artifact
from undertow.artifact.pack.read.trained import read_trained
from undertow.artifact.pack.survey.points import Survey
from undertow.artifact.pack.survey.survey import survey
from undertow.core.errors import Refused
from undertow.core.features import Feature
from undertow.core.taps import Call, TapInfo, list_taps


def pack(
    checkpoint: Path | str,
    *,
    name: str,
    taps: Mapping[str, Feature | str],
    output: Path | str = "artifact",
    series: Sequence[str] | None = None,
    fit: Path | str | None = None,
    trust: bool = False,
    code: Collection[str] = (),
    model_class: str | None = None,
    precision: Precision = FLOAT32,
    is_compiled: bool = False,
    ttl_s: int | None = None,
    note: Callable[[str], object] | None = None,
) -> Path:
    """Pack a trained model into an artifact, as `undertow pack` does.

    Args:
        checkpoint: A Lightning checkpoint of pytorch-forecasting, or a TOML that describes any `nn.Module`.
        name: The stable name under which readers find the features.
        taps: Feature names and their taps, as text or `Feature`: `{"hidden": "rnn:last+mean"}`.
        output: The folder to write. It must not exist.
        series: The id columns of the windows, as `site` or `lap:integer`; by default the data set's groups.
        fit: Parquet file or folder with windows on which PCAs (`,pca=16`) are fitted.
        trust: Whether the checkpoint's pickles may run. Only for a file that you trust.
        code: Packages from which your own model class may be imported.
        model_class: The class of the checkpoint's model, if it cannot be recognised: `package.module:Name`.
        precision: `float32`, or `bfloat16` for a forward under torch.autocast, in a space of its own.
        is_compiled: Whether to add native code for this kind of machine.
        ttl_s: How old a vector may be in Feast's joins, in seconds; 0 for any age.
        note: Called with a sentence for each default that was assumed.

    Returns:
        The artifact's folder.

    Raises:
        Refused: The model cannot be packed, or does not give the same vectors in every test. Nothing is written then.

    Examples:
        >>> undertow.pack("net.toml", name="sites", taps={"hidden": "rnn#0[0]:last"}, code=["net"])
        PosixPath('artifact')
    """
    given: object = taps
    if not isinstance(given, Mapping):
        message = f'taps: expected names of features with their taps, as {{"hidden": "rnn:last"}}, found {taps!r}'
        raise Refused(message)
    if isinstance(series, str):
        message = f"series: expected a list of id columns, found a text: [{series!r}]"
        raise Refused(message)
    if isinstance(output, str) and "://" in output:
        message = "output: expected a folder, found an address: undertow pack --output takes one, with its settings"
        raise Refused(message)
    is_forecaster = Path(checkpoint).suffix != ".toml"
    with fresh_process(is_forecaster=is_forecaster) as afresh:
        pack_artifact(
            checkpoint,
            output,
            name=name,
            taps=taps,
            series=series,
            fit=fit,
            trust=trust,
            code=code,
            model_class=model_class,
            precision=precision,
            is_compiled=is_compiled,
            ttl_s=ttl_s,
            note=note,
            afresh=afresh,
        )
    return Path(output)


@overload
def taps(model: nn.Module, x: Any, *, call: Call | None = None) -> tuple[TapInfo, ...]: ...
@overload
def taps(
    model: Path | str,
    *,
    series: Sequence[str] | None = None,
    trust: bool = False,
    code: Collection[str] = (),
    model_class: str | None = None,
) -> Survey: ...
def taps(
    model: nn.Module | Path | str,
    x: Any = None,
    *,
    call: Call | None = None,
    series: Sequence[str] | None = None,
    trust: bool = False,
    code: Collection[str] = (),
    model_class: str | None = None,
) -> tuple[TapInfo, ...] | Survey:
    """List what can be tapped in a model.

    Args:
        model: A module, or the path of a checkpoint or TOML as for `pack`.
        x: The input on which a module is run once. Not for a path: then synthetic windows are made.
        call: How to call the module if it does not take `x` as it is, such as `lambda pair: model(*pair)`. `Taps` takes
            the same.
        series: As for `pack`, for a path.
        trust: As for `pack`, for a path.
        code: As for `pack`, for a path.
        model_class: As for `pack`, for a path.

    Returns:
        For a module, a `TapInfo` for each module that was called. For a path, the `Survey` that `undertow taps` shows:
        each layer's shape, its cost, what it depends on, and a suggestion.

    Raises:
        Refused: The checkpoint is not trusted, or not understood.

    Examples:
        >>> from torch import nn, zeros
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> [(one.paths, one.kind) for one in undertow.taps(model, zeros(4, 2))]
        [(('0',), 'Linear'), (('1',), 'ReLU'), (('2',), 'Linear')]
    """
    if isinstance(model, nn.Module):
        if x is None:
            message = "expected a module and what it is called with: taps(model, x)"
            raise Refused(message)
        return list_taps(model, x, call)
    return survey(read_trained(Path(model), trust=trust, series=series, model_class=model_class, code=code))

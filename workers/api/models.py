"""Trained models: what can be tapped in them, and packing them.

In: a checkpoint, a TOML or a module. Out: what fires, or an artifact's folder. Knows neither settings nor streams.
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
    """Pack a Lightning checkpoint, or a module that a TOML describes, as `undertow pack` does; return the folder.

    `taps` maps names of features to taps: `{"hidden": "rnn:last+mean"}`. `series` are the id columns, as `site` or
    `lap:integer`; without them they are the data set's groups. `trust` runs the checkpoint's pickles: say so only of a
    file that you trust. `fit` is Parquet with windows that a PCA (`,pca=16`) is fitted on, `code` the packages that a
    class of your own comes from, `ttl_s` how long a vector counts in Feast's joins in seconds, 0 for ever. `note` is
    told what the taps were taken to mean where they do not say it. Raises `Refused`, and then writes nothing.
    """
    given: object = taps
    if not isinstance(given, Mapping):
        message = f'taps: expected names of features with their taps, as {{"hidden": "rnn:last"}}, found {taps!r}'
        raise Refused(message)
    if isinstance(series, str):
        message = f"series: expected a list of id columns, found a text: [{series!r}]"
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
    """Return what can be tapped: of a module that is run once on `x`, or of a checkpoint or TOML on windows made up.

    `call` is how the module is called where it does not take `x` as it is: `lambda pair: model(*pair)`. `Taps` takes
    one, too. Of a checkpoint it is what `undertow taps` shows: each layer's shape, cost, what it sees, a suggestion.
    Raises `Refused` for a checkpoint that is not trusted or not understood.
    """
    if isinstance(model, nn.Module):
        if x is None:
            message = "expected a module and what it is called with: taps(model, x)"
            raise Refused(message)
        return list_taps(model, x, call)
    return survey(read_trained(Path(model), trust=trust, series=series, model_class=model_class, code=code))

"""The models that an artifact may hold: built from plain JSON, and only of classes that are known or listed.

In: a `Recipe` or the hyperparameters of a checkpoint. Out: a model without weights, a recipe. Knows no file.
"""

import inspect
import json
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pytorch_forecasting import metrics, models
from pytorch_forecasting.data.encoders import EncoderNormalizer, GroupNormalizer, MultiNormalizer, TorchNormalizer
from torch import nn

from undertow.artifact.format.outputs import Normalizer, Output
from undertow.artifact.format.recipes import ModelRecipe
from undertow.artifact.load.user_code import find_maker, source_digest
from undertow.core.errors import Refused
from undertow.core.transformations import NAMES

PACKAGE = "pytorch_forecasting."
CLASSES = (
    "RecurrentNetwork",
    "TemporalFusionTransformer",
    "DeepAR",
    "NBeats",
    "NBeatsKAN",
    "NHiTS",
    "DecoderMLP",
    "TiDEModel",
    "TimeXer",
    "xLSTMTime",
)
ACTIVATION = "torch.nn"
"""The JSON key for a hyperparameter that is an activation; its value is the name of the activation's class."""
DROPPED = frozenset({*inspect.signature(models.BaseModel.__init__).parameters, "embedding_labels"})
"""Hyperparameters of training and plotting: no hidden state depends on them, and some are objects, not JSON."""
KNOWN = frozenset({TorchNormalizer, EncoderNormalizer, GroupNormalizer})
"""Normalizers that scale back in the same way, given a window's centre and scale."""


def model_class(path: str, code: Collection[str] = ()) -> type[nn.Module]:
    """Return the class `pytorch_forecasting.NAME` if it is one of `CLASSES`, or a derived `package.module:Name`.

    The latter is imported only from packages in `code`. Raises `Refused`.
    """
    if ":" in path:
        derived: Any = find_maker(path, code)
        is_derived = inspect.isclass(derived) and issubclass(derived, models.BaseModel)
        if not is_derived:
            message = (
                f"expected {path} to be a class derived from a model of pytorch-forecasting, found another; a plain "
                "module is described in a TOML"
            )
            raise Refused(message)
        own: type[nn.Module] = derived
        return own
    name = path.removeprefix(PACKAGE)
    if not path.startswith(PACKAGE) or name not in CLASSES:
        message = (
            f"expected a model class of {', '.join(PACKAGE + one for one in CLASSES)}, "
            f"or a class of your own that is derived from one, as package.module:Name, found {path!r}"
        )
        raise Refused(message)
    found: type[nn.Module] = getattr(models, name)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Hide a warning of Lightning that matters only in training: that a loss is stored twice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Attribute '.*' is an instance of", module="lightning")
        yield


def make_recipe(model: nn.Module, hyperparameters: Mapping[str, Any], path: str | None = None) -> ModelRecipe:
    """Make a recipe of the hyperparameters from which the model is built.

    `path` is the class's path if the user named one. Raises `Refused` for a hyperparameter that is not plain data.
    """
    kept = {name: value for name, value in hyperparameters.items() if name not in DROPPED}
    try:
        plain = json.loads(json.dumps(kept, allow_nan=False, default=_name_activation))
    except (TypeError, ValueError) as error:
        culprit = next(name for name, value in kept.items() if not _is_plain(value))
        kind = type(kept[culprit]).__name__
        message = (
            f"the hyperparameter {culprit} of {type(model).__name__} is a {kind}, which cannot be kept as JSON; "
            "give the model numbers, texts, lists and dicts"
        )
        raise Refused(message) from error
    loss: Any = model.loss
    targets: Any = model.target_names
    parts = loss.metrics if isinstance(loss, metrics.MultiLoss) else [loss]
    return ModelRecipe(
        cls=path or PACKAGE + type(model).__name__,
        source=source_digest(type(model)) if path and ":" in path else None,
        hyperparameters=plain,
        targets=tuple(targets),
        losses=tuple(type(part).__name__ for part in parts),
        outputs=_read_outputs(parts, getattr(model, "output_transformer", None)),
    )


def build_forecaster(recipe: ModelRecipe, code: Collection[str] = ()) -> nn.Module:
    """Build the model, untrained, in eval mode. Raises `Refused`. `code` are the packages whose code may run."""
    cls = model_class(recipe.cls, code)
    try:
        losses = [_loss(*pair) for pair in zip(recipe.losses, recipe.outputs, strict=True)]
        normalizers = [_normalizer(output) for output in recipe.outputs]
        several = len(losses) > 1 or isinstance(recipe.hyperparameters.get("target"), list)
        with quiet():
            return cls(
                **{name: _make_activation(value) for name, value in recipe.hyperparameters.items()},
                loss=metrics.MultiLoss(losses) if several else losses[0],
                output_transformer=MultiNormalizer(normalizers) if several else normalizers[0],
                logging_metrics=nn.ModuleList(),
                dataset_parameters={"target": list(recipe.targets)},
            ).eval()
    except Refused:
        raise
    except Exception as error:
        message = (
            f"{recipe.cls} cannot be built with its hyperparameters and without its data set: "
            f"{type(error).__name__}: {error}"
        )
        raise Refused(message) from error


def _loss(name: str, output: Output) -> Any:
    cls = getattr(metrics, name, None)
    if not (inspect.isclass(cls) and issubclass(cls, metrics.MultiHorizonMetric)):
        message = f"expected the loss to be a metric of pytorch_forecasting.metrics, found {name!r}"
        raise Refused(message)
    make: Any = cls
    return make() if output.quantiles is None else make(quantiles=list(output.quantiles))


def _read_outputs(losses: Sequence[Any], transformer: Any) -> tuple[Output, ...]:
    """Return how each output is scaled back, if that is plain data; centre and scale come with each window."""
    normalizers = list(getattr(transformer, "normalizers", [transformer] * len(losses)))
    kept = [
        Normalizer(transformation=one.transformation, center=bool(one.center))
        if type(one) in KNOWN and one.transformation in (None, *NAMES)
        else None
        for one in normalizers
    ]
    quantiles = [None if loss.quantiles is None else tuple(map(float, loss.quantiles)) for loss in losses]
    return tuple(Output(quantiles=one, normalizer=kept[row]) for row, one in enumerate(quantiles))


def _normalizer(output: Output) -> Any:
    kept = output.normalizer
    return None if kept is None else TorchNormalizer(center=kept.center, transformation=kept.transformation)


def _name_activation(value: Any) -> dict[str, str]:
    """Encode an activation without parameters by its name in `torch.nn`. Raises `TypeError` for anything else."""
    name = type(value).__name__
    if type(value) is getattr(nn.modules.activation, name, None) and repr(value) == f"{name}()":
        return {ACTIVATION: name}
    message = f"a {name} is no plain data"
    raise TypeError(message)


def _make_activation(value: Any) -> Any:
    if not (isinstance(value, dict) and value.keys() == {ACTIVATION}):
        return value
    cls = getattr(nn.modules.activation, value[ACTIVATION], None)
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        message = f"expected the name of an activation of torch.nn, found {value[ACTIVATION]!r}"
        raise Refused(message)
    return cls()


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, default=_name_activation)
    except (TypeError, ValueError):
        return False
    return True

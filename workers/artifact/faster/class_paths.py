"""Recognise modules of pytorch-forecasting by their class's path: importing the library would cost seconds of CPU.

In: a module, a class's path. Out: yes or no. Knows no class itself.
"""

PACKAGE = "pytorch_forecasting."
SUB_MODULES = f"{PACKAGE}models.temporal_fusion_transformer.sub_modules."
GATED_RESIDUAL = f"{SUB_MODULES}GatedResidualNetwork"
RESAMPLE_NORM = f"{SUB_MODULES}ResampleNorm"
VARIABLE_SELECTION = f"{SUB_MODULES}VariableSelectionNetwork"
RNN = f"{PACKAGE}models.nn.rnn.RNN"
BASE_MODEL = f"{PACKAGE}models.base._base_model.BaseModel"
MULTI_LOSS = f"{PACKAGE}metrics.base_metrics._base_metrics.MultiLoss"


def is_exactly(thing: object, path: str) -> bool:
    """Whether the class of `thing` is the one at the path."""
    return path_of(type(thing)) == path


def is_a(thing: object, path: str) -> bool:
    """Whether the class of `thing` is the one at the path, or derived from it."""
    return any(path_of(cls) == path for cls in type(thing).__mro__)


def path_of(cls: type) -> str:
    """Return a class's module and qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"

"""Classes of pytorch-forecasting are known by name, so that loading a plain module need not import it."""

import subprocess
import sys

import pytest
from pytorch_forecasting.metrics import MultiLoss
from pytorch_forecasting.models.nn.rnn import LSTM, RNN
from pytorch_forecasting.models.temporal_fusion_transformer import sub_modules

from undertow.artifact.faster import class_paths

HEAVY = {"pytorch_forecasting", "lightning", "sklearn", "torch._dynamo"}


@pytest.mark.parametrize(
    ("path", "cls"),
    [
        (class_paths.GATED_RESIDUAL, sub_modules.GatedResidualNetwork),
        (class_paths.RESAMPLE_NORM, sub_modules.ResampleNorm),
        (class_paths.VARIABLE_SELECTION, sub_modules.VariableSelectionNetwork),
        (class_paths.RNN, RNN),
        (class_paths.MULTI_LOSS, MultiLoss),
    ],
)
def test_each_name_is_where_the_installed_library_defines_the_class(path, cls):
    assert class_paths.path_of(cls) == path


def test_a_class_made_from_a_known_one_is_one_but_not_exactly():
    lstm = LSTM(1, 1)
    assert class_paths.is_a(lstm, class_paths.RNN)
    assert not class_paths.is_exactly(lstm, class_paths.RNN)
    assert not class_paths.is_a(lstm, class_paths.MULTI_LOSS)


def test_what_loads_artifacts_imports_no_library_for_training():
    script = f"import sys, undertow.artifact.load.loader; print(sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""Classes of pytorch-forecasting are known by name, so that loading a plain module need not import it."""

import subprocess
import sys

import pytest
from pytorch_forecasting.metrics import MultiLoss
from pytorch_forecasting.models.nn.rnn import LSTM, RNN
from pytorch_forecasting.models.temporal_fusion_transformer import sub_modules

from undertow.artifact.faster import known

HEAVY = {"pytorch_forecasting", "lightning", "sklearn", "torch._dynamo"}


@pytest.mark.parametrize(
    ("path", "cls"),
    [
        (known.GATED_RESIDUAL, sub_modules.GatedResidualNetwork),
        (known.RESAMPLE_NORM, sub_modules.ResampleNorm),
        (known.VARIABLE_SELECTION, sub_modules.VariableSelectionNetwork),
        (known.RNN, RNN),
        (known.MULTI_LOSS, MultiLoss),
    ],
)
def test_each_name_is_where_the_installed_library_defines_the_class(path, cls):
    assert known.path_of(cls) == path


def test_a_class_made_from_a_known_one_is_one_but_not_exactly():
    lstm = LSTM(1, 1)
    assert known.is_a(lstm, known.RNN)
    assert not known.is_exactly(lstm, known.RNN)
    assert not known.is_a(lstm, known.MULTI_LOSS)


def test_what_loads_artifacts_imports_no_library_for_training():
    script = f"import sys, undertow.artifact.load.loader; print(sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""Whatever the dataset, inputs built from the JSON form of its windows are its own, bit for bit."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from pytorch_forecasting import TimeSeriesDataSet

from tests.inputs.drawn import options, options_with_gaps, options_with_lags

pytestmark = pytest.mark.filterwarnings("ignore")  # the dataset warns of what these tests provoke
EXAMPLES = max(300, settings.default.max_examples)  # 5,000 with the profile `long`


# Never shrunk: that would take minutes, and says little of data this random.
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(options=st.one_of(options(), options_with_lags(), options_with_gaps()), seed=st.integers(0, 2**32 - 1))
def test_any_dataset_gives_the_same_inputs_bit_for_bit(frame, check_equal, options, seed):
    longest = max(itertools.chain([0], *options["lags"].values()))
    steps = longest + options["max_encoder_length"] + options["max_prediction_length"] + 1
    size = {"steps": steps, "ids": options["group_ids"]}
    try:
        parameters = TimeSeriesDataSet(frame(seed, **size), **options).get_parameters()
    except ValueError as error:  # the root of a negative product of group means
        assert "NA or infinite" in str(error)  # noqa: PT017 - only such draws are thrown away
        reject()
    accepting = [name for name, encoder in parameters["categorical_encoders"].items() if encoder.add_nan]
    has_gaps = "constant_fill_strategy" in options
    fresh = frame(seed + 1, first=5, **{**size, "steps": steps + 3 * has_gaps})
    if has_gaps:  # the last steps stay, so that some window ends there
        often = np.random.default_rng(seed).random(len(fresh)) < 0.3
        fresh = fresh[~often | (fresh.time > fresh.time.max() - options["max_prediction_length"] - 1)]
        fresh = fresh.reset_index(drop=True)
    for name in {"cs", "ck", "cu", "v0", "v1"}.intersection(accepting):
        fresh[name] = fresh[name].replace("b", "never seen")
    check_equal(parameters, fresh)

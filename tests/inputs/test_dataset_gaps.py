"""Missing steps are filled as the dataset does, seen number by number; what it computes counts them as steps."""

import numpy as np
import pytest
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data.encoders import EncoderNormalizer, NaNLabelEncoder, TorchNormalizer

from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.pack.certify.reference import check_inputs
from undertow.artifact.pack.read.dataset import extract

pytestmark = pytest.mark.filterwarnings("ignore")  # the dataset warns of what these tests provoke
COLUMNS = ["u0", "y0"]


def parameters_of(data, **options):
    defaults = {
        "time_idx": "time",
        "group_ids": ["store", "lap"],
        "target": "y0",
        "target_normalizer": TorchNormalizer(method="identity"),
        "scalers": {"u0": None},
        "min_encoder_length": 8,
        "max_encoder_length": 8,
        "max_prediction_length": 2,
        "time_varying_unknown_reals": COLUMNS,
        "allow_missing_timesteps": True,
    }
    return TimeSeriesDataSet(data, **{**defaults, **options}).get_parameters()


def without(data, *steps):
    return data[~data.time.isin(steps)].reset_index(drop=True)


def test_a_missing_step_is_the_step_before(frame, check_equal):
    fresh = without(frame(2, steps=10), 3, 4)
    built = check_equal(parameters_of(frame(1, steps=10), add_relative_time_idx=True), fresh)
    assert built.x["encoder_lengths"].tolist() == [8] * 4
    time, *columns = built.x["encoder_cont"][0].T.tolist()
    first = fresh.query("store == 's0' and lap == 0").set_index("time").astype(dict.fromkeys(COLUMNS, "float32"))
    assert columns == [first[name][[0, 1, 2, 2, 2, 5, 6, 7]].tolist() for name in COLUMNS]
    assert time == [(step - 8) / 8 for step in range(8)]


def test_a_missing_step_is_its_columns_constant(frame, check_equal):
    fresh, constants = without(frame(2, steps=10), 3, 4), {"u0": 0.25, "y0": 0.5}
    built = check_equal(parameters_of(frame(1, steps=10), constant_fill_strategy=constants), fresh)
    assert built.x["encoder_cont"][0, 3:5].tolist() == [[constants[name] for name in COLUMNS]] * 2
    assert built.x["encoder_target"][0, 3:5].tolist() == [0.5, 0.5]


def test_a_windows_own_norm_is_that_of_its_filled_steps(frame, check_equal):
    options = {"target_normalizer": EncoderNormalizer(method="standard"), "constant_fill_strategy": {"y0": 0.5}}
    data, fresh = frame(1, steps=10), without(frame(2, steps=10), 3, 4)
    filled = [*fresh.query("store == 's0' and lap == 0").y0.to_numpy()[:6].tolist(), 0.5, 0.5]
    center, _ = check_equal(parameters_of(data, **options), fresh).x["target_scale"][0].tolist()
    assert center == pytest.approx(np.mean(filled), rel=1e-6)


@pytest.mark.parametrize("columns", [["u0"], ["u0", "y0"]])
@pytest.mark.parametrize("transformation", [None, "sqrt", "relu"])
def test_the_norm_of_a_covariates_own_steps_is_added_up_in_the_datasets_order(
    columns, transformation, frame, check_equal
):
    scalers = {"u0": EncoderNormalizer(transformation=transformation)}
    options = {"scalers": scalers, "time_varying_unknown_reals": columns}
    long = {"min_encoder_length": 2, "max_encoder_length": 40}
    made = parameters_of(frame(1, steps=60), add_encoder_length=False, **options, **long)
    check_equal(made, without(frame(2, steps=60), *range(3, 50, 4)))


def test_the_time_index_goes_on_evenly_through_a_gap(frame, check_equal):
    options = {"time_varying_known_reals": ["time"], "scalers": {"time": None, "u0": None}}
    built = check_equal(parameters_of(frame(1, steps=10), **options), without(frame(2, steps=10, first=5), 6, 7, 11))
    assert built.x["encoder_cont"][0, :, 0].tolist() == pytest.approx(np.arange(5, 13), rel=1e-6)
    assert built.x["decoder_time_idx"][0].tolist() == [13, 14]


def test_a_window_without_gaps_is_what_it_is_where_none_may_be_missing(frame, check_equal):
    fresh = frame(2, steps=10)
    built = check_equal(parameters_of(frame(1, steps=10)), fresh)
    other = check_equal(parameters_of(frame(1, steps=10), allow_missing_timesteps=False), fresh)
    assert built.x["encoder_cont"].tobytes() == other.x["encoder_cont"].tobytes()


def test_an_unseen_category_may_be_the_constant_where_training_allowed_for_one(frame, check_equal):
    made = parameters_of(
        frame(1, steps=10),
        time_varying_unknown_categoricals=["cu"],
        categorical_encoders={"cu": NaNLabelEncoder(add_nan=True)},
        constant_fill_strategy={"cu": "never seen"},
    )
    built = check_equal(made, without(frame(2, steps=10), 3))
    assert built.x["encoder_cat"][0, 3].tolist() == [0]
    assert 0 not in built.x["encoder_cat"][0, [2, 4]]


def test_sample_windows_have_gaps_where_steps_may_be_missing_and_the_proof_at_packing_sees_them(frame):
    made = parameters_of(
        frame(1, steps=12),
        min_encoder_length=3,
        time_varying_known_reals=["time", "k0"],
        time_varying_known_categoricals=["ck"],
        constant_fill_strategy={"k0": 0.25},
        scalers={},
    )
    preprocessing, contract = extract(made)
    windows = sample_windows(contract, preprocessing, sample_lengths(contract))
    assert np.isnan(windows.past["y0"][:8]).tolist() == [False, True, False, False, True, False, False, False]
    assert check_inputs(windows, preprocessing, made) > 0

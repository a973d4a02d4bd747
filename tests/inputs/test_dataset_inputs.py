"""Inputs built from windows are those of a TimeSeriesDataSet, bit for bit: the reference is the dataset itself."""

import numpy as np
import pytest
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data.encoders import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    TorchNormalizer,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # the dataset warns of what these tests provoke
SERIES = ["store", "lap"]


def make_dataset(data, **options):
    return TimeSeriesDataSet(data, time_idx="time", group_ids=SERIES, **options)


def test_the_inputs_of_a_recurrent_network_of_six_channels_are_equal(frame, check_equal):
    channels = ["y0", "y1", "y2", "u0", "u1", "k0"]
    kinds = [EncoderNormalizer(), EncoderNormalizer(method="robust"), TorchNormalizer(), GroupNormalizer()]
    normalizer = MultiNormalizer([*kinds, GroupNormalizer(center=False), EncoderNormalizer(center=False)])
    dataset = make_dataset(
        frame(1),
        target=channels,
        time_varying_unknown_reals=channels,
        target_normalizer=normalizer,
        min_encoder_length=4,
        max_encoder_length=16,
        max_prediction_length=2,
    )
    built = check_equal(dataset.get_parameters(), frame(2), series=["store", "lap:integer"])
    assert built.x["encoder_cont"].shape[1:] == (16, 7)  # the channels and encoder_length
    assert [scale.dtype for scale in built.x["target_scale"]] == [np.float32] * 2 + [np.float64] + [np.float32] * 3


@pytest.mark.parametrize(
    "normalizer", ["auto", GroupNormalizer(groups=SERIES, transformation="softplus"), GroupNormalizer(groups=["store"])]
)
@pytest.mark.parametrize("min_encoder_length", [3, 24])
def test_the_inputs_of_a_fusion_transformer_are_equal(frame, check_equal, normalizer, min_encoder_length):
    dataset = make_dataset(
        frame(3),
        target="y0",
        target_normalizer=normalizer,
        min_encoder_length=min_encoder_length,
        max_encoder_length=24,
        max_prediction_length=6,
        static_categoricals=["store"],
        time_varying_known_reals=["time", "k0"],
        time_varying_known_categoricals=["ck"],
        time_varying_unknown_reals=["y0", "u0", "u1"],
        add_relative_time_idx=True,
        add_target_scales=True,
        add_encoder_length=True,
    )
    built = check_equal(dataset.get_parameters(), frame(4))
    assert built.x["encoder_cont"].shape[2] == 9


def test_a_window_longer_than_any_block_that_torch_adds_at_once_is_equal(frame, check_equal):
    dataset = make_dataset(
        frame(7, steps=260),
        target=["y0", "y1"],
        target_normalizer=MultiNormalizer([EncoderNormalizer(), EncoderNormalizer(max_length=[200, 100])]),
        scalers={"u0": EncoderNormalizer(), "u1": EncoderNormalizer(max_length=130)},
        time_varying_unknown_reals=["y0", "u0", "u1", "y1"],
        min_encoder_length=240,
        max_encoder_length=256,
        max_prediction_length=2,
    )
    check_equal(dataset.get_parameters(), frame(8, steps=260))

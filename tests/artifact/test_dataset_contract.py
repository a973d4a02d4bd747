import numpy as np
import pandas as pd
import pytest
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data.encoders import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    NaNLabelEncoder,
    TorchNormalizer,
)
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, QuantileTransformer, StandardScaler

from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.pack.certify.reference import check_inputs
from undertow.artifact.pack.read.dataset import extract
from undertow.core.errors import Refused
from undertow.schemas.contract import Column, IdColumn, InputContract

pytestmark = pytest.mark.filterwarnings("ignore")
FRAME = pd.concat(
    [
        pd.DataFrame(
            {
                **{name: np.linspace(0.1, 0.8, 20) + store / 10 for name in ("y", "u", "k", "r")},
                "time": np.arange(20),
                "store": f"s{store}",
                "lap": lap,
                "site": store + lap,
                "label": ["a", "b"] * 10,
                "day": pd.Timestamp(2024, 6, 1 + store + 2 * lap),
                "at": 0.5 + store + 2 * lap,
            }
        )
        for store in range(2)
        for lap in range(2)
    ],
    ignore_index=True,
)


def parameters(**options):
    defaults = {
        "target": "y",
        "time_idx": "time",
        "group_ids": ["store", "lap"],
        "max_encoder_length": 6,
        "max_prediction_length": 2,
        "target_normalizer": TorchNormalizer(),
        "time_varying_unknown_reals": ["y", "u"],
    }
    return TimeSeriesDataSet(FRAME, **{**defaults, **options}).get_parameters()


def test_the_contract_asks_for_what_the_dataset_does_not_compute_and_nothing_else():
    made = parameters(
        min_encoder_length=1,
        time_varying_known_reals=["k", "time"],
        time_varying_known_categoricals=["label"],
        categorical_encoders={"label": NaNLabelEncoder(add_nan=True)},
        static_reals=["r"],
        static_categoricals=["store"],
        add_relative_time_idx=True,
        add_target_scales=True,
    )
    _, contract = extract(made)
    label = Column(name="label", categories=("a", "b"), accepts_unknown=True)
    assert contract == InputContract(
        series=(IdColumn(name="store", type="string"), IdColumn(name="lap", type="integer")),
        past=(Column(name="y"), Column(name="k"), Column(name="time"), Column(name="u"), label),
        future=(Column(name="k"), Column(name="time"), label),
        static=(Column(name="r"),),
        min_length=1,
        max_length=6,
        horizon=2,
    )


def test_without_known_columns_there_is_no_horizon():
    assert extract(parameters())[1].horizon == 0


def test_a_standard_deviation_needs_two_steps():
    made = parameters(
        target=["y"], target_normalizer=MultiNormalizer([TorchNormalizer()]), scalers={"u": EncoderNormalizer()}
    )
    assert extract({**made, "min_encoder_length": 1})[1].min_length == 2
    with pytest.raises(Refused, match="max_encoder_length of at least 2, found 1"):
        extract({**made, "min_encoder_length": 1, "max_encoder_length": 1})


def test_other_id_columns_may_name_the_series_where_nothing_depends_on_the_group_ids():
    preprocessing, contract = extract(parameters(), series=[IdColumn(name="device", type="integer")])
    assert contract.series == (IdColumn(name="device", type="integer"),)
    assert preprocessing.groups == (None, None)


def test_id_columns_can_be_given_as_text_and_take_the_type_of_the_group_id():
    _, contract = extract(parameters(), series=["lap", "device", "wearer:string", "unit:integer"])
    types = {column.name: column.type for column in contract.series}
    assert types == {"lap": "integer", "device": "string", "wearer": "string", "unit": "integer"}


@pytest.mark.parametrize(
    "options",
    [
        {"static_categoricals": ["store"]},
        {"target_normalizer": GroupNormalizer(groups=["store", "lap"])},
        {
            "target": ["y"],
            "target_normalizer": MultiNormalizer([TorchNormalizer()]),
            "scalers": {"u": GroupNormalizer(groups=["store"])},
        },
    ],
)
@pytest.mark.parametrize("series", [["lap"], ["lap", "store:integer"]])
def test_a_group_id_that_something_depends_on_must_be_carried(options, series):
    with pytest.raises(Refused, match="expected the group id store:string among"):
        extract(parameters(**options), series=series)


class OwnNormalizer(TorchNormalizer):
    pass


OF_A_COMPUTED_COLUMN = {
    "lags": {"relative_time_idx": [1]},
    "add_relative_time_idx": True,
    "scalers": {"relative_time_idx": None},
}
OF_ONE_SCALER_FOR_TWO = {
    "lags": {"u": [1]},
    "time_varying_known_reals": ["k"],
    "scalers": dict.fromkeys(["u", "k"], EncoderNormalizer()),
}
UNENCODED = {"scalers": {"u": GroupNormalizer(groups=["store"])}}
UNENCODED_INTEGERS = {"scalers": {"u": GroupNormalizer(groups=["lap"])}}
OWN_NORM = {
    "target_normalizer": EncoderNormalizer(),
    "add_target_scales": True,
    "scalers": {"y_scale": GroupNormalizer()},
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OF_A_COMPUTED_COLUMN, "expected lags of columns that windows carry in their past"),
        (OF_ONE_SCALER_FOR_TWO, "found one object for u, k"),
        (
            {"target": "label", "target_normalizer": NaNLabelEncoder(), "time_varying_unknown_reals": ["u"]},
            "expected targets that are real numbers, found the categories of label",
        ),
        (
            {"target": "site", "target_normalizer": "auto", "time_varying_unknown_reals": ["u"]},
            r"the target site is integer, so the data set took its numbers for categories.*astype\(float\)",
        ),
        ({"group_ids": ["at"]}, r"no floats, found 0\.5; .*where no input depends on the group id.*--series NAME"),
        ({"group_ids": ["day"]}, r"no datetimes, found datetime.*--series NAME"),
        ({"target_normalizer": OwnNormalizer()}, "the column y: expected a fitted TorchNormalizer"),
        (
            {"target_normalizer": TorchNormalizer(transformation={"forward": np.abs, "reverse": np.abs})},
            "the column y: expected a transformation among",
        ),
        ({"target_normalizer": EncoderNormalizer(max_length=1, center=False)}, "max_length of at least 2"),
        ({"scalers": {"u": QuantileTransformer(n_quantiles=9)}}, "the column u: expected a fitted StandardScaler"),
        (UNENCODED, "the column u: expected a GroupNormalizer that was fitted on encoded groups, found 's0'"),
        (UNENCODED_INTEGERS, "the real u: expected a GroupNormalizer by group ids that the data set encodes"),
        (OWN_NORM, "the real y_scale: expected one of scikit-learn's scalers"),
        (
            {"add_relative_time_idx": True, "scalers": {"relative_time_idx": EncoderNormalizer()}},
            "the computed real relative_time_idx cannot have an EncoderNormalizer",
        ),
        ({"static_reals": ["lap"]}, "a group id cannot be a real as well, found lap"),
        ({"time_varying_unknown_reals": ["y", "u", "u"]}, "expected each column once, found u 2 times"),
        ({"static_reals": ["y"], "time_varying_unknown_reals": []}, "found the static or known real y"),
        (
            {"group_ids": ["store", "lap", "site"], "target_normalizer": GroupNormalizer(groups=["store", "lap"])},
            "by all",
        ),
    ],
)
def test_what_cannot_be_built_exactly_is_refused_with_the_column_and_the_reason(options, message):
    with pytest.raises(Refused, match=message):
        extract(parameters(**options))


def gappy(constants=None, **options):
    return parameters(allow_missing_timesteps=True, constant_fill_strategy=constants, **options)


BY_STORE = GroupNormalizer(groups=["store"])
CONSTANT_OF_U = "the column u of constant_fill_strategy: expected "


@pytest.mark.parametrize(
    ("constants", "options", "message"),
    [
        (
            None,
            {"lags": {"y": [1]}, "target_normalizer": EncoderNormalizer()},
            "expected no lags where time steps may be missing",
        ),
        (None, {"time_varying_unknown_reals": ["y", "time"]}, "expected the time index time to be a known real"),
        ({"y": 0.5}, {"target_normalizer": BY_STORE}, "a scaler that is the same for all series"),
        ({"time": 0}, {"time_varying_known_reals": ["time"]}, "column other than the time index"),
        ({"r": 0.5}, {"static_reals": ["r"]}, "a target, or a known or unknown column"),
        ({"y_center": 0.5}, {"add_target_scales": True}, "a target, or a known or unknown column"),
        ({"u": float("nan")}, {}, CONSTANT_OF_U + "a finite number, found the constant nan"),
        ({"u": True}, {}, CONSTANT_OF_U + "a finite number, found the constant True"),
    ],
)
def test_missing_steps_are_refused_where_more_than_the_window_fills_them(constants, options, message):
    with pytest.raises(Refused, match=message):
        extract(gappy(constants, **options))


def test_a_constant_of_a_column_that_each_window_scales_by_itself_is_refused():
    made = gappy(scalers={"u": EncoderNormalizer()})
    with pytest.raises(Refused, match=CONSTANT_OF_U + "no EncoderNormalizer"):
        extract({**made, "constant_fill_strategy": {"u": 0.5}})  # a data set of these raises an error of its own


def test_a_constant_that_is_no_category_of_training_is_refused():
    made = gappy({"label": "a"}, time_varying_known_categoricals=["label"])
    with pytest.raises(Refused, match="expected one of its 2 categories of training, found the constant 'c'"):
        extract({**made, "constant_fill_strategy": {"label": "c"}})


def test_a_target_that_is_no_input_may_have_a_constant_whatever_scales_it():
    made = gappy({"y": 0.5}, target_normalizer=BY_STORE, time_varying_unknown_reals=["u"])
    preprocessing, contract = extract(made)
    assert preprocessing.fills == {"y": 0.5}
    assert InputContract.from_json(contract.to_json()).allows_gaps


def test_the_json_forms_of_what_has_no_gaps_say_nothing_of_them():
    preprocessing, contract = extract(parameters())
    assert "fills" not in preprocessing.to_json()
    assert "allows_gaps" not in contract.to_json()
    assert not InputContract.from_json(contract.to_json()).allows_gaps


UNFITTED = "the column u: expected a fitted StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scalers": {}}, "the real u: expected a fitted scaler"),
        *[({"scalers": {"u": one()}}, UNFITTED) for one in (StandardScaler, MinMaxScaler, MaxAbsScaler)],
        ({"categorical_encoders": {}}, "__group_id__store: expected a fitted NaNLabelEncoder"),
        ({"target_normalizer": MultiNormalizer([TorchNormalizer()])}, "a MultiNormalizer for a list of them"),
        ({"target_normalizer": GroupNormalizer(groups=["place"])}, "expected a fitted"),
        ({"static_categoricals": ["y"]}, "expected each column once, found y 2 times"),
        (
            {"static_categoricals": ["y"], "time_varying_unknown_reals": ["u"]},
            "a target cannot be a categorical as well",
        ),
    ],
)
def test_parameters_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(Refused, match=message):
        extract({**parameters(), **change})


def test_parameters_of_another_version_are_refused_with_what_is_missing():
    made = parameters()
    del made["lags"]
    with pytest.raises(Refused, match="found no lags; save the checkpoint of a model that was made with from_dataset"):
        extract(made)


def test_an_id_column_of_an_unknown_type_is_refused():
    with pytest.raises(Refused, match="NAME, NAME:string or NAME:integer, found 'lap:float'"):
        extract(parameters(), series=["lap:float"])


@pytest.mark.parametrize("ids", [[0.5, 1.5], [True, False]])
def test_group_ids_of_another_type_are_refused(ids):
    made = parameters()
    encoder = NaNLabelEncoder().fit(pd.Series(ids))
    with pytest.raises(Refused, match="expected categories that are strings or integers"):
        extract({**made, "categorical_encoders": {**made["categorical_encoders"], "__group_id__lap": encoder}})


@pytest.mark.parametrize("group", ["at", "day"])
def test_group_ids_that_no_input_depends_on_need_no_labels_where_windows_have_other_ids(group):
    made = parameters(group_ids=[group])
    preprocessing, contract = extract(made, series=["wearer", group])
    assert contract.series == (IdColumn(name="wearer", type="string"), IdColumn(name=group, type="string"))
    assert preprocessing.groups == (None,)
    windows = sample_windows(contract, preprocessing, sample_lengths(contract))
    assert check_inputs(windows, preprocessing, made) > 100
    depends = parameters(
        group_ids=[group],
        target_normalizer=GroupNormalizer(groups=[group]),
    )
    with pytest.raises(Refused, match=f"the column __group_id__{group}: expected categories that are strings or integ"):
        extract(depends, series=["wearer"])

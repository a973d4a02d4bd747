"""A series or a category that training did not see is what the dataset makes of it, or refused where that raises."""

import numpy as np
import pytest
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data.encoders import GroupNormalizer, MultiNormalizer, NaNLabelEncoder, TorchNormalizer

from undertow.artifact.pack.read.dataset import extract
from undertow.core.inputs import build_inputs

pytestmark = pytest.mark.filterwarnings("ignore")  # the dataset warns of what these tests provoke
SERIES = ["store", "lap"]
BY_SERIES = {"target_normalizer": GroupNormalizer(groups=SERIES)}
BY_EACH_ID = {"target_normalizer": GroupNormalizer(groups=SERIES, scale_by_group=True)}
AS_CATEGORY = {"target_normalizer": TorchNormalizer(), "static_categoricals": ["store"]}
IN_A_COVARIATE = {
    "target": ["y0"],
    "target_normalizer": MultiNormalizer([TorchNormalizer()]),
    "time_varying_unknown_reals": ["y0", "u0"],
    "scalers": {"u0": GroupNormalizer(groups=["store"])},
}


def parameters_of(data, **options):
    defaults = {
        "time_idx": "time",
        "group_ids": SERIES,
        "target": "y0",
        "max_encoder_length": 8,
        "max_prediction_length": 2,
        "time_varying_unknown_reals": ["y0"],
    }
    return TimeSeriesDataSet(data, **{**defaults, **options}).get_parameters()


@pytest.mark.parametrize("options", [BY_SERIES, BY_EACH_ID, AS_CATEGORY, IN_A_COVARIATE])
def test_an_unseen_series_is_a_fault_where_the_dataset_raises(options, frame, windows_of):
    parameters, fresh = parameters_of(frame(5, steps=12), **options), frame(6, steps=12)
    with pytest.raises(KeyError, match="Unknown category 'new'"):
        TimeSeriesDataSet.from_parameters(parameters, fresh.replace({"store": {"s1": "new"}}))
    preprocessing, contract = extract(parameters)
    windows = windows_of(TimeSeriesDataSet.from_parameters(parameters, fresh), fresh, contract)
    unseen = windows.series["store"] == "s1"
    windows.series["store"][unseen] = "new"
    built = build_inputs(windows, preprocessing)
    assert [fault.row for fault in built.faults] == np.flatnonzero(unseen).tolist()
    assert {(fault.reason, fault.detail.partition(":")[0]) for fault in built.faults} == {("category", "series.store")}
    assert built.rows.tolist() == np.flatnonzero(~unseen).tolist()


def of_a_new_store(data):
    return data.query("store == 's0'").assign(store="new")


@pytest.mark.parametrize("options", [BY_SERIES, BY_EACH_ID, AS_CATEGORY, IN_A_COVARIATE])
def test_an_unseen_series_is_what_the_dataset_makes_of_it_where_training_allowed_for_one(options, frame, check_equal):
    encoders = {name: NaNLabelEncoder(add_nan=True) for name in SERIES}
    parameters = parameters_of(frame(5, steps=12), categorical_encoders=encoders, **options)
    check_equal(parameters, of_a_new_store(frame(6, steps=12)))


@pytest.mark.parametrize("options", [BY_SERIES, BY_EACH_ID])
def test_the_norm_of_an_unseen_series_is_no_other_series_norm(options, frame, check_equal):
    encoders = {name: NaNLabelEncoder(add_nan=True) for name in SERIES}
    parameters = parameters_of(frame(5, steps=12), categorical_encoders=encoders, **options)
    known = {tuple(norm) for norm in check_equal(parameters, frame(6, steps=12)).x["target_scale"].tolist()}
    new = check_equal(parameters, of_a_new_store(frame(6, steps=12))).x["target_scale"].tolist()
    assert len(known) == 4
    assert known.isdisjoint(map(tuple, new))


def test_an_unseen_series_is_embedded_where_nothing_depends_on_the_series(frame, check_equal):
    parameters = parameters_of(frame(5, steps=12), target_normalizer=TorchNormalizer())
    assert check_equal(parameters, frame(6, steps=12).replace({"store": {"s1": "new"}})).faults == ()


@pytest.mark.parametrize("column", ["cs", "ck", "cu"])
def test_a_window_of_an_unseen_category_is_rejected_where_the_dataset_raises(column, frame, windows_of, through_json):
    columns = {"static_categoricals": ["cs"], "time_varying_known_categoricals": ["ck"]}
    data, fresh = frame(5, steps=12), frame(6, steps=12)
    parameters = parameters_of(data, **columns, time_varying_unknown_categoricals=["cu"])
    _, contract = extract(parameters)
    windows = windows_of(TimeSeriesDataSet.from_parameters(parameters, fresh), fresh, contract)
    part = "static" if column == "cs" else "past"
    changed = {"static": windows.static, "past": windows.past}[part][column]
    changed[-1] = "never seen"  # of the last window
    decoded = through_json(windows, contract)
    (reject,) = decoded.rejects
    assert (reject.record.offset, reject.reason) == (len(windows) - 1, "category")
    assert reject.detail.startswith(f"{part}.{column}")
    with pytest.raises(KeyError, match="Unknown category 'never seen'"):
        TimeSeriesDataSet.from_parameters(parameters, fresh.replace({column: {"a": "never seen"}}))


NULLABLE = {
    "static_categoricals": ["cs"],
    "time_varying_known_categoricals": ["ck"],
    "time_varying_unknown_categoricals": ["cu"],
}


def with_nulls(data):
    """Nulls at single steps, in whole windows, at the newest step, ahead, and in the statics of one series."""
    data = data.copy()
    data.loc[data.index % 3 == 0, "ck"] = None
    data.loc[data.index % 4 == 1, "cu"] = None
    data.loc[data.store == "s0", "cu"] = None
    data.loc[data.lap == 3, "cs"] = None
    # The data set cannot sort nulls among texts; of pandas' own categories it can.
    return data.astype(dict.fromkeys(("cs", "ck", "cu"), "category"))


def test_a_null_category_is_the_class_that_the_dataset_makes_of_it(frame, check_equal):
    encoders = {name: NaNLabelEncoder(add_nan=True) for name in ("cs", "ck", "cu")}
    parameters = parameters_of(
        frame(5, steps=12), categorical_encoders=encoders, target_normalizer=TorchNormalizer(), **NULLABLE
    )
    built = check_equal(parameters, with_nulls(frame(6, steps=12)))
    assert (built.x["encoder_cat"] == 0).any(axis=(0, 1)).all()
    assert (built.x["decoder_cat"] == 0).any(axis=(0, 1)).all()


def test_a_null_category_is_refused_where_training_allowed_for_none(frame, windows_of, through_json):
    parameters, fresh = parameters_of(frame(5, steps=12), target_normalizer=TorchNormalizer(), **NULLABLE), frame(6)
    _, contract = extract(parameters)
    windows = windows_of(TimeSeriesDataSet.from_parameters(parameters, fresh), fresh, contract)
    windows.static["cs"][:] = None
    assert {reject.reason for reject in through_json(windows, contract).rejects} == {"category"}

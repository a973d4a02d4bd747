import math

import numpy as np
import pytest

from undertow.core.inputs import build_inputs
from undertow.core.preprocessing import Categorical, LabelEncoder, Preprocessing, Real, Target
from undertow.core.scalers import FixedScaler, GroupScaler, GroupTable, WindowScaler
from undertow.schemas.windows import WindowBatch

STORES = LabelEncoder(name="store", codes={"s0": 0, "s1": 1})
LABELS = LabelEncoder(name="label", codes={"nan": 0, "a": 1, "b": 2})
OF_STORE = GroupScaler(
    tables=(GroupTable(ids=(("store", "store"),), norms={(0,): (1.0, 2.0)}, missing=(0.0, 0.5)),),
)
LOG = FixedScaler(center=1.0, scale=2.0, transformation="log")


def preprocessing(**changes):
    return Preprocessing(
        **{
            "max_encoder_length": 4,
            "prediction_length": 2,
            "reals": (Real(name="r", role="static"), Real(name="k", role="known"), Real(name="y", role="target")),
            "categoricals": (Categorical(name="label", role="known", encoder="label"),),
            "targets": (Target(name="y", scaler=LOG, reported=LOG),),
            "several_targets": False,
            "groups": (("store", "store"), None),
            "encoders": (STORES, LABELS),
            **changes,
        }
    )


def batch(lengths=(1, 3, 2), stores=("s0", "s1", "s0"), labels=None):
    count, steps = len(lengths), sum(lengths)
    return WindowBatch(
        series={"store": np.array(stores, object)},
        end_us=np.arange(count),
        lengths=np.array(lengths, np.int64),
        past={
            "y": np.arange(1.0, steps + 1),
            "k": np.arange(steps) * 10.0,
            "label": np.array(labels or ["a"] * steps, object),
        },
        future={"k": np.full((count, 2), 7.0), "label": np.full((count, 2), "b", object)},
        static={"r": np.arange(count) + 0.5},
    )


def test_windows_are_padded_behind_their_last_step():
    built = build_inputs(batch(), preprocessing())
    assert built.rows.tolist() == [0, 1, 2]
    assert built.x["encoder_lengths"].tolist() == [1, 3, 2]
    assert built.x["encoder_cont"][:, :, 1].tolist() == [[0, 0, 0], [10, 20, 30], [40, 50, 0]]
    assert built.x["encoder_target"].tolist() == [[1, 0, 0], [2, 3, 4], [5, 6, 0]]
    assert built.x["encoder_cat"][:, :, 0].tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]
    assert built.x["groups"].tolist() == [[0, 0], [1, 0], [0, 0]]


def test_the_decoder_holds_what_is_known_and_zeros():
    x = build_inputs(batch(), preprocessing()).x
    assert x["decoder_cont"].tolist() == [[[r, 7.0, 0.0]] * 2 for r in (0.5, 1.5, 2.5)]
    assert x["decoder_cat"].tolist() == [[[2], [2]]] * 3
    assert x["decoder_target"].tolist() == [[0.0, 0.0]] * 3
    assert x["decoder_lengths"].tolist() == [2, 2, 2]


def test_time_goes_on_behind_each_window_from_0_or_from_its_time_column():
    assert build_inputs(batch(), preprocessing()).x["decoder_time_idx"].tolist() == [[1, 2], [3, 4], [2, 3]]
    timed = build_inputs(batch(), preprocessing(time_column="k")).x
    assert timed["decoder_time_idx"].tolist() == [[1, 2], [13, 14], [42, 43]]


def test_a_window_with_an_unknown_category_is_left_out_with_a_fault_that_names_it():
    built = build_inputs(batch(labels=["a", "a", "c", "d", "a", "b"]), preprocessing())
    alone = build_inputs(batch(lengths=(1, 2), stores=("s0", "s0")), preprocessing())
    (fault,) = built.faults
    assert (fault.row, fault.reason) == (1, "category")
    assert fault.detail == "past.label: expected one of the 3 categories of training, found 'c'"
    assert built.rows.tolist() == [0, 2]
    assert built.x["encoder_cont"].shape == alone.x["encoder_cont"].shape == (2, 2, 3)


def test_an_unknown_category_of_the_future_or_of_the_series_is_a_fault_too():
    windows = batch(stores=("s0", "s1", "s9"))
    windows.future["label"][0, 1] = "c"
    details = [fault.detail for fault in build_inputs(windows, preprocessing()).faults]
    assert [detail.partition(":")[0] for detail in details] == ["future.label", "series.store"]


def test_an_unknown_category_has_its_code_where_the_model_has_one():
    accepting = LabelEncoder(name="label", codes=LABELS.codes, unknown=0)
    built = build_inputs(batch(labels=["a", "b", "c", "a", "a", "a"]), preprocessing(encoders=(STORES, accepting)))
    assert built.faults == ()
    assert built.x["encoder_cat"][1, :, 0].tolist() == [2, 0, 1]


@pytest.mark.parametrize(("value", "part"), [(-1.0, "past"), (1e39, "past"), (1e39, "future")])
def test_a_number_that_the_scaling_makes_infinite_is_a_fault_that_names_its_column(value, part):
    windows = batch(labels=["c", *"aaaaa"])
    column = "y" if part == "past" else "k"
    getattr(windows, part)[column].ravel()[-1] = value
    built = build_inputs(windows, preprocessing())
    assert [(fault.row, fault.reason) for fault in built.faults] == [(0, "category"), (2, "inputs")]
    assert built.faults[1].detail.startswith(f"{column}: expected numbers that are finite")
    assert built.rows.tolist() == [1]
    assert np.isfinite(built.x["encoder_cont"]).all()


def test_norms_follow_the_series_and_an_unlisted_one_has_the_missing_norm():
    scaled = Target(name="y", scaler=OF_STORE, reported=OF_STORE)
    x = build_inputs(batch(), preprocessing(targets=(scaled,))).x
    assert x["target_scale"].tolist() == [[1.0, 2.0], [0.0, 0.5], [1.0, 2.0]]
    assert x["encoder_cont"][:, :, 2].tolist() == [[0, 0, 0], [4, 6, 8], [2, 2.5, 0]]


def test_a_norm_that_is_not_known_is_reported_but_does_not_spoil_the_window():
    unknown = FixedScaler(center=0.0, scale=math.nan)
    built = build_inputs(batch(), preprocessing(targets=(Target(name="y", scaler=LOG, reported=unknown),)))
    assert built.faults == ()
    assert np.isnan(built.x["target_scale"][:, 1]).all()


def test_the_windows_own_norm_sees_its_last_steps_only():
    scaler = WindowScaler(method="standard", center_steps=1, scale_steps=2)
    target = Target(name="y", scaler=scaler, reported=scaler)
    windows = batch(lengths=(3, 4), stores=("s0", "s0"))
    x = build_inputs(windows, preprocessing(targets=(target,), several_targets=True)).x
    center, scale = x["target_scale"][0].T
    assert center.tolist() == [3.0, 7.0]
    np.testing.assert_allclose(scale, math.sqrt(0.5), rtol=1e-6)
    assert len(x["encoder_target"]) == len(x["decoder_target"]) == 1


@pytest.mark.parametrize("scaler", [LOG, OF_STORE, WindowScaler(method="standard"), WindowScaler(method="robust")])
def test_no_windows_give_no_rows_in_the_same_shapes(scaler):
    real = Real(name="u", role="unknown", scaler=WindowScaler(method="standard"))
    target = Target(name="y", scaler=scaler, reported=scaler)
    made = preprocessing(reals=(real, Real(name="y", role="target")), targets=(target,))
    one = batch(lengths=(2,), stores=("s0",))
    one.past["u"] = np.array([1.0, 2.0])
    some, none = build_inputs(one, made), build_inputs(one.take(np.array([], np.int64)), made)
    assert (none.rows.tolist(), none.faults) == ([], ())
    for name, array in some.x.items():
        assert none.x[name].dtype == array.dtype
        assert none.x[name].ndim == array.ndim
        assert none.x[name].shape[0] == 0


def test_windows_that_all_fail_give_no_rows():
    built = build_inputs(batch(stores=("x", "y", "z")), preprocessing())
    assert [fault.row for fault in built.faults] == [0, 1, 2]
    assert built.x["encoder_cont"].shape == (0, 0, 3)


def test_windows_that_may_not_be_written_to_are_only_read():
    windows = batch()
    for column in [*windows.past.values(), *windows.future.values(), *windows.static.values()]:
        column.flags.writeable = False
    x = build_inputs(windows, preprocessing()).x
    assert x["encoder_cont"].flags.writeable
    assert not any(np.shares_memory(x["encoder_target"], column) for column in windows.past.values())

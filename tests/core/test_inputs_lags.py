"""Lagged columns of a window are those of its frame: the reference is pandas."""

import numpy as np
import pandas as pd
import pytest

from undertow.core.inputs import build_inputs
from undertow.core.preprocessing import Categorical, LabelEncoder, Lag, Preprocessing, Real, Target
from undertow.core.scalers import FixedScaler, WindowScaler
from undertow.schemas.windows import WindowBatch

HORIZON, LONGEST = 2, 4
LENGTHS = (3, 1, 2)  # of the encoder
PLAIN = FixedScaler()
LAGS = (
    Lag(name="y_1", column="y", steps=1),
    Lag(name="y_4", column="y", steps=LONGEST),
    Lag(name="k_1", column="k", steps=1),
    Lag(name="c_2", column="c", steps=2),
)


def preprocessing(scaler=PLAIN):
    return Preprocessing(
        max_encoder_length=4,
        prediction_length=HORIZON,
        reals=(
            Real(name="k", role="known"),
            Real(name="y_4", role="known", scaler=scaler),
            Real(name="k_1", role="known"),
            Real(name="y", role="target"),
            Real(name="y_1", role="unknown", scaler=scaler),
        ),
        categoricals=(Categorical(name="c_2", role="known", encoder="c"),),
        targets=(Target(name="y", scaler=scaler, reported=scaler),),
        several_targets=False,
        groups=(None,),
        encoders=(LabelEncoder(name="c", codes={"a": 0, "b": 1, "d": 2}),),
        lags=LAGS,
    )


def frames():
    """One series for each window, of the steps that it carries and those after it."""
    rng = np.random.default_rng(4)
    for steps in LENGTHS:
        count = LONGEST + steps + HORIZON
        frame = pd.DataFrame({"y": rng.normal(size=count), "k": rng.normal(size=count)})
        frame["c"] = np.array(["a", "b", "d"], object)[rng.integers(0, 3, count)]
        yield frame.assign(**{lag.name: frame[lag.column].shift(lag.steps) for lag in LAGS})


def windows():
    made = list(frames())
    return WindowBatch(
        series={"watch": np.array(["w"] * len(made), object)},
        end_us=np.arange(len(made)),
        lengths=np.array(LENGTHS) + LONGEST,
        past={name: np.concatenate([one[name].to_numpy()[:-HORIZON] for one in made]) for name in ("y", "k", "c")},
        future={"k": np.stack([one["k"].to_numpy()[-HORIZON:] for one in made])},
        static={},
    )


def test_lagged_columns_hold_what_pandas_shifts_and_the_steps_in_front_are_stripped():
    x = build_inputs(windows(), preprocessing()).x
    assert x["encoder_lengths"].tolist() == list(LENGTHS)
    assert x["decoder_time_idx"].tolist() == [[length, length + 1] for length in LENGTHS]
    for row, frame in enumerate(frames()):
        reals = frame[["k", "y_4", "k_1", "y", "y_1"]].to_numpy(np.float32)
        encoder, decoder = reals[LONGEST:-HORIZON], reals[-HORIZON:]
        assert x["encoder_cont"][row, : LENGTHS[row]].tolist() == encoder.tolist()
        assert not x["encoder_cont"][row, LENGTHS[row] :].any()
        assert x["encoder_target"][row, : LENGTHS[row]].tolist() == encoder[:, 3].tolist()
        assert x["decoder_cont"][row, :, :3].tolist() == decoder[:, :3].tolist()
        assert not x["decoder_cont"][row, :, 3:].any()  # the target, and what lags by less than the horizon
        codes = frame["c_2"].map({"a": 0, "b": 1, "d": 2}).to_numpy()
        assert x["encoder_cat"][row, : LENGTHS[row], 0].tolist() == codes[LONGEST:-HORIZON].tolist()
        assert x["decoder_cat"][row, :, 0].tolist() == codes[-HORIZON:].tolist()


def test_a_lagged_column_has_the_norm_of_its_source_in_the_encoder_steps():
    x = build_inputs(windows(), preprocessing(WindowScaler(method="robust"))).x
    center, scale = x["target_scale"][0]
    frame = next(iter(frames()))
    own = frame["y"].to_numpy()[LONGEST:-HORIZON]
    assert center == pytest.approx(np.median(own), rel=1e-6)
    expected = (frame[["y_4", "y_1"]].to_numpy()[LONGEST:-HORIZON] - center) / scale
    np.testing.assert_allclose(x["encoder_cont"][0][:, [1, 4]], expected, rtol=1e-5)


def test_an_unknown_category_in_the_steps_in_front_is_a_fault_of_its_window():
    batch = windows()
    batch.past["c"][batch.starts[1] + 2] = "never seen"  # two steps before the encoder's first one
    built = build_inputs(batch, preprocessing())
    assert [(fault.row, fault.detail.partition(":")[0]) for fault in built.faults] == [(1, "past.c_2")]
    assert built.rows.tolist() == [0, 2]

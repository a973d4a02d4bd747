"""Inputs built from windows are those of a TimeSeriesDataSet, bit for bit: the reference is the dataset itself."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data.encoders import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    NaNLabelEncoder,
    TorchNormalizer,
)
from sklearn.preprocessing import RobustScaler, StandardScaler

from schemas.windows import WindowBatch
from workers.artifact.dataset import extract
from workers.core.inputs import build_inputs
from workers.core.preprocessing import Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore")  # the dataset warns of what these tests provoke
TRANSFORMATIONS = [None, "log", "log1p", "logit", "softplus", "relu", "count", "sqrt"]
SERIES = ["store", "lap"]


def frame(seed, *, steps=34, first=0):
    """Some series of the same columns; every number lies in (0, 1), where all transformations are finite."""
    rng, parts = np.random.default_rng(seed), []
    for store in range(2):
        for lap in range(2):
            part = pd.DataFrame({"time": np.arange(first, first + steps), "store": f"s{store}", "lap": 3 * lap})
            for column in ("y0", "y1", "y2", "u0", "u1", "k0", "k1"):
                part[column] = rng.beta(2, 2 + store, steps) * 0.98 + 0.01
            for column in ("r0", "r1"):
                part[column] = rng.uniform(0.01, 0.99)
            for column in ("ck", "cu", "v0", "v1"):
                part[column] = rng.choice(["a", "b", "c"], steps)
            part["cs"] = "abca"[2 * store + lap]
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def make_dataset(data, **options):
    return TimeSeriesDataSet(data, time_idx="time", group_ids=SERIES, **options)


def windows_of(dataset, data, contract):
    """The windows of a dataset's samples, cut from the frame it was made of."""
    data = data.sort_values([*dataset.group_ids, dataset.time_idx]).reset_index(drop=True)
    horizon = dataset.max_prediction_length
    samples = [data.iloc[row.index_start : row.index_end + 1] for row in dataset.index.itertuples()]
    past, future = [one.iloc[:-horizon] for one in samples], [one.iloc[-horizon:] for one in samples]

    def last(names):
        return {name: np.array([one[name].iloc[-1] for one in past]) for name in names}

    return WindowBatch(
        series=last(column.name for column in contract.series),
        end_us=np.arange(len(samples)),
        lengths=np.array([len(one) for one in past]),
        past={column.name: np.concatenate([one[column.name] for one in past]) for column in contract.past},
        future={column.name: np.stack([one[column.name] for one in future]) for column in contract.future},
        static=last(column.name for column in contract.static),
    )


def check_equal(parameters, data, series=None):
    """Build both ways and compare every array; return what was built."""
    preprocessing, contract = extract(parameters, series=series)
    preprocessing = Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json(), allow_nan=False)))
    dataset = TimeSeriesDataSet.from_parameters(parameters, data)
    expected, _ = next(iter(dataset.to_dataloader(train=False, batch_size=len(dataset))))
    built = build_inputs(windows_of(dataset, data, contract), preprocessing)
    assert built.faults == ()
    assert built.rows.tolist() == list(range(len(dataset)))
    assert built.x.keys() == expected.keys()
    for key, value in expected.items():
        assert isinstance(built.x[key], list) == isinstance(value, list)
        arrays = zip(built.x[key], value, strict=True) if isinstance(value, list) else [(built.x[key], value)]
        for found, tensor in arrays:
            compare(key, found, tensor.numpy(), preprocessing, expected)
    return built


def compare(key, found, expected, preprocessing, x):
    assert found.dtype == expected.dtype, key
    assert found.shape == expected.shape, key
    assert found.flags.writeable, key
    if key == "decoder_target":
        expected = np.zeros_like(expected)
    if key in {"decoder_cont", "decoder_cat"}:  # only the dataset knows what was observed later
        columns = preprocessing.reals if key == "decoder_cont" else preprocessing.categoricals
        unknown = [column.role in {"unknown", "target"} for column in columns]
        expected = np.where(unknown, np.zeros_like(expected), expected)
    if key == "decoder_time_idx" and preprocessing.time_column is None:
        expected = expected - expected[:, :1] + x["encoder_lengths"].numpy()[:, None]
    assert found.tobytes() == expected.tobytes(), (key, np.argwhere(found != expected)[:3])


def transformation():
    return st.sampled_from(TRANSFORMATIONS)


def method_kwargs():
    return st.sampled_from([None, {"upper": 0.9, "lower": 0.2, "center": 0.4}])


def encoder_normalizers():
    lengths = st.one_of(st.none(), st.integers(2, 9), st.lists(st.integers(2, 9), min_size=2, max_size=2))
    return st.builds(
        EncoderNormalizer,
        method=st.sampled_from(["standard", "standard", "robust", "identity"]),
        center=st.booleans(),
        max_length=lengths,
        transformation=transformation(),
        method_kwargs=method_kwargs(),
    )


def group_normalizers(groups):
    return st.builds(
        lambda groups, by_group, **options: GroupNormalizer(
            groups=groups, scale_by_group=by_group and bool(groups), **options
        ),
        groups=st.sampled_from(groups),
        by_group=st.booleans(),
        method=st.sampled_from(["standard", "robust"]),
        center=st.booleans(),
        transformation=transformation(),
        method_kwargs=method_kwargs(),
    )


def target_normalizers():
    trained = st.builds(
        TorchNormalizer,
        method=st.sampled_from(["standard", "robust", "identity"]),
        center=st.booleans(),
        transformation=transformation(),
        method_kwargs=method_kwargs(),
    )
    groups = group_normalizers([None, SERIES, SERIES[::-1], ["store"], ["lap"]])
    return st.one_of(encoder_normalizers(), trained, groups)


@st.composite
def options(draw):
    """Arguments of a TimeSeriesDataSet over `frame`."""

    def some(*names):
        return draw(st.lists(st.sampled_from(names), unique=True))

    longest = draw(st.integers(3, 26))
    several = draw(st.booleans())
    targets = ["y0", "y1", "y2"][: draw(st.integers(1, 3))] if several else "y0"
    normalizers = [draw(target_normalizers()) for _ in targets] if several else draw(target_normalizers())
    scalers = st.one_of(
        st.none(),
        st.builds(RobustScaler),
        st.builds(StandardScaler, with_mean=st.booleans(), with_std=st.booleans()),
        encoder_normalizers(),
        group_normalizers([None, ["store"], SERIES] if several else [None]),
    )
    reals = {"static": some("r0", "r1"), "known": some("k0", "k1", "time"), "unknown": some("u0", "u1", "y0")}
    covariates = [name for name in itertools.chain(*reals.values()) if name not in {"y0", "time"}]
    groups = draw(st.sampled_from([None, {"v": ["v0", "v1"]}]))
    labelled = ["cs", "ck", "cu", "store", "v" if groups else "v0"]
    known = some("ck", "v" if groups else "v0")
    return {
        "target": targets,
        "target_normalizer": MultiNormalizer(normalizers) if several else normalizers,
        "min_encoder_length": draw(st.integers(2, longest)),
        "max_encoder_length": longest,
        "max_prediction_length": draw(st.integers(1, 3)),
        "static_reals": reals["static"],
        "time_varying_known_reals": reals["known"],
        "time_varying_unknown_reals": reals["unknown"],
        "static_categoricals": some("cs", "store"),
        "time_varying_known_categoricals": known,
        "time_varying_unknown_categoricals": some("cu"),
        "variable_groups": groups if groups and "v" in known else None,
        "scalers": {name: draw(scalers) for name in covariates if draw(st.booleans())},
        "categorical_encoders": {name: NaNLabelEncoder(add_nan=True) for name in labelled if draw(st.booleans())},
        "add_relative_time_idx": draw(st.booleans()),
        "add_encoder_length": draw(st.sampled_from([True, False, "auto"])),
        "add_target_scales": draw(st.booleans()),
    }


# Never shrunk: that would take minutes, and says little of data this random.
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(options=options(), seed=st.integers(0, 2**32 - 1))
def test_any_dataset_gives_the_same_inputs_bit_for_bit(options, seed):
    steps = options["max_encoder_length"] + options["max_prediction_length"] + 3
    try:
        dataset = make_dataset(frame(seed, steps=steps), **options)
    except ValueError as error:  # the root of a negative product of group means
        assert "NA or infinite" in str(error)  # noqa: PT017 - only such draws are thrown away
        reject()
    accepting = [name for name, encoder in dataset.get_parameters()["categorical_encoders"].items() if encoder.add_nan]
    fresh = frame(seed + 1, steps=steps, first=5)
    for name in {"cs", "ck", "cu", "v0", "v1"}.intersection(accepting):
        fresh[name] = fresh[name].replace("b", "never seen")
    check_equal(dataset.get_parameters(), fresh)


def test_the_inputs_of_a_recurrent_network_of_six_channels_are_equal():
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
def test_the_inputs_of_a_fusion_transformer_are_equal(normalizer, min_encoder_length):
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


def test_a_new_series_has_the_norms_of_a_missing_group():
    encoders = {"store": NaNLabelEncoder(add_nan=True), "lap": NaNLabelEncoder(add_nan=True)}
    dataset = make_dataset(
        frame(5),
        target="y0",
        target_normalizer=GroupNormalizer(groups=SERIES, scale_by_group=True),
        categorical_encoders=encoders,
        time_varying_unknown_reals=["y0"],
        max_encoder_length=8,
        max_prediction_length=2,
    )
    fresh = frame(6).query("store == 's0' and lap == 0").assign(store="new", lap=77)
    check_equal(dataset.get_parameters(), fresh)


def test_a_window_longer_than_any_block_that_torch_adds_at_once_is_equal():
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

"""Data for a TimeSeriesDataSet, its windows, and the comparison of what both sides make of them, bit for bit."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from pytorch_forecasting import TimeSeriesDataSet

from undertow.artifact.pack.read.dataset import extract
from undertow.core.inputs import build_inputs
from undertow.core.preprocessing import Preprocessing
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import Partition, Record
from undertow.schemas.windows import WindowBatch

IDS = {"store": ["s0", "s1"], "lap": [0, 3], "site": ["north", "south"]}


def make_frame(seed, *, steps=34, first=0, ids=("store", "lap")):
    """Some series of the same columns; every number lies in (0, 1), where all transformations are finite."""
    rng, parts = np.random.default_rng(seed), []
    for number, key in enumerate(itertools.islice(itertools.product(*(IDS[name] for name in ids)), 4)):
        columns = {
            "time": np.arange(first, first + steps),
            **dict.fromkeys(IDS, "none"),
            **dict(zip(ids, key, strict=True)),
        }
        for column in ("y0", "y1", "y2", "u0", "u1", "k0", "k1"):
            columns[column] = rng.beta(2, 2 + number, steps) * 0.98 + 0.01
        for column in ("r0", "r1"):
            columns[column] = rng.uniform(0.01, 0.99)
        for column in ("ck", "cu", "v0", "v1"):
            labels = np.concatenate(
                [np.arange(3), rng.integers(0, 3, steps - 3)]
            )  # whatever is drawn, training saw all
            columns[column] = np.array(["a", "b", "c"], object)[labels]
        parts.append(pd.DataFrame({**columns, "cs": "abca"[number]}))
    return pd.concat(parts, ignore_index=True)


def find_steps(dataset, data):
    """Whether each step of each series is there, in the frame's order by series and time."""
    data = data.sort_values([*dataset.group_ids, dataset.time_idx])
    places = data.groupby(dataset.group_ids)[dataset.time_idx].diff().fillna(1).cumsum().astype(int).to_numpy() - 1
    return np.isin(np.arange(places[-1] + 1), places)


def find_samples(dataset, data):
    """The steps at which each sample's encoder begins and ends; None where no window can stand for it.

    A window has its earliest lags in front, ends with a step that is there, and knows all steps of the decoder.
    """
    is_there, horizon, lag = find_steps(dataset, data), dataset.max_prediction_length, dataset.max_lag
    number = data.sort_values([*dataset.group_ids, dataset.time_idx]).groupby(dataset.group_ids).cumcount()
    kept = np.flatnonzero(is_there)[number >= lag]
    spans = [(kept[row.index_start] - lag, kept[row.index_end] + 1 - horizon) for row in dataset.index.itertuples()]
    return [(start, end) if is_there[end - 1 : end + horizon].all() else None for start, end in spans]


def cut_windows(dataset, data, contract):
    """The windows of a dataset's samples, cut from the frame it was made of."""
    spans, horizon = list(filter(None, find_samples(dataset, data))), dataset.max_prediction_length
    is_there = find_steps(dataset, data)
    data = data.sort_values([*dataset.group_ids, dataset.time_idx]).iloc[np.cumsum(is_there) - 1]
    lengths = np.array([end - start for start, end in spans])
    steps = np.concatenate([np.arange(start, end) for start, end in spans])
    ends = np.array([end for _, end in spans])

    def last(columns):
        return {column.name: data[column.name].to_numpy()[ends - 1] for column in columns}

    def past(name):
        column = data[name].to_numpy()
        return (column if is_there.all() else np.where(is_there, column, None if column.dtype == object else np.nan))[
            steps
        ]

    return WindowBatch(
        series=last(contract.series),
        end_us=np.arange(len(spans)),
        lengths=lengths,
        past={column.name: past(column.name) for column in contract.past},
        future={
            column.name: data[column.name].to_numpy()[ends[:, None] + np.arange(horizon)] for column in contract.future
        },
        static=last(contract.static),
    )


def send_as_json(windows, contract):
    """The windows as a replica reads them, and those that it rejects."""
    partition = Partition("windows", 0)
    records = [
        Record(partition=partition, offset=offset, appended_us=0, value=value)
        for offset, value in enumerate(encode_json(windows))
    ]
    return decode_json(records, contract, max_record_bytes=1 << 20)


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


@pytest.fixture(scope="session")
def frame():
    return make_frame


@pytest.fixture(scope="session")
def windows_of():
    return cut_windows


@pytest.fixture(scope="session")
def through_json():
    return send_as_json


@pytest.fixture(scope="session")
def check_equal():
    """Return a function that builds both ways and compares every array, and returns what was built."""

    def check(parameters, data, series=None):
        preprocessing, contract = extract(parameters, series=series)
        preprocessing = Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json(), allow_nan=False)))
        dataset = TimeSeriesDataSet.from_parameters(parameters, data)
        samples = [row for row, span in enumerate(find_samples(dataset, data)) if span is not None]
        expected, _ = dataset._collate_fn([dataset[row] for row in samples])
        decoded = send_as_json(cut_windows(dataset, data, contract), contract)
        assert decoded.rejects == ()
        built = build_inputs(decoded.windows, preprocessing)
        assert built.faults == ()
        assert built.rows.tolist() == list(range(len(samples)))
        assert built.x.keys() == expected.keys()
        for key, value in expected.items():
            assert isinstance(built.x[key], list) == isinstance(value, list)
            arrays = zip(built.x[key], value, strict=True) if isinstance(value, list) else [(built.x[key], value)]
            for found, tensor in arrays:
                compare(key, found, tensor.numpy(), preprocessing, expected)
        return built

    return check

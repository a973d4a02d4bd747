"""`import undertow`, as a program of somebody's uses it; vectors are held against the plain module."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import undertow
from tests.api.conftest import PACKAGE, frame, hidden
from undertow.schemas.contract import Column, IdColumn, InputContract


def nested(table):
    steps = pa.list_(pa.float64())
    lists = [pa.array(table[name].tolist(), steps) for name in ("flow", "head")]
    return pa.table(
        {
            "series": pa.StructArray.from_arrays([pa.array(table["site"])], names=["site"]),
            "end": pa.array(table["end"]),
            "past": pa.StructArray.from_arrays(lists, names=["flow", "head"]),
        }
    )


class Handed:
    """What polars hands out: Arrow memory with kinds of texts and lists of its own, behind one method."""

    def __init__(self, table):
        kinds = {"site": pa.string_view(), "flow": pa.large_list(pa.float64()), "head": pa.large_list(pa.float64())}
        flat = pa.Table.from_pandas(table, preserve_index=False)
        self._table = flat.cast(pa.schema([pa.field(f.name, kinds.get(f.name, f.type)) for f in flat.schema]))

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "form",
    [lambda t: t, nested, lambda t: nested(t).to_batches()[0], lambda t: nested(t).to_pandas(), Handed],
    ids=["pandas", "Arrow", "a record batch", "nested pandas", "polars"],
)
def test_vectors_come_in_the_rows_order_and_are_the_plain_module_s(model, embedder, form):
    table = frame()
    result = embedder.embed(form(table))
    expected = hidden(model, table)
    assert set(result) == {"hidden", "mean"}
    assert result["hidden"].dtype == np.float32
    np.testing.assert_allclose(result["hidden"], expected[:, -1], atol=1e-6)
    np.testing.assert_allclose(result["mean"], expected.mean(axis=1), atol=1e-6)
    assert result.faults == ()
    assert result.space == embedder.space


def test_a_window_batch_is_embedded_as_it_is(model, embedder):
    table = frame(3)
    windows = undertow.WindowBatch(
        series={"site": table["site"].to_numpy(object)},
        end_us=np.arange(3),
        lengths=np.full(3, 6),
        past={name: np.concatenate(table[name].tolist()) for name in ("flow", "head")},
        future={},
        static={},
    )
    np.testing.assert_allclose(embedder.embed(windows)["hidden"], hidden(model, table)[:, -1], atol=1e-6)


def test_a_row_that_is_refused_is_nan_and_says_why_and_its_neighbours_keep_their_places(model, embedder):
    table = frame()
    expected = hidden(model, table)[:, -1]
    flow, head = table["flow"].tolist(), table["head"].tolist()
    flow[1] = np.array([1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    head[3] = np.array([1.0])
    result = embedder.embed(table.assign(flow=flow, head=head))
    assert [(one.row, one.reason) for one in result.faults] == [(1, "number"), (3, "length")]
    good = [0, 2, 4]
    np.testing.assert_allclose(result["hidden"][good], expected[good], atol=1e-6)
    assert np.isnan(result["hidden"][[1, 3]]).all()


@pytest.mark.parametrize("form", [lambda t: t, lambda t: nested(t).to_pandas()], ids=["flat", "nested"])
@pytest.mark.parametrize(
    ("lost", "fault"),
    [
        (
            {"flow": [[float("nan")] * 6]},
            ("number", "past.flow[0]: expected a finite number"),
        ),
        ({"flow": [None]}, ("columns", "past.flow: expected a list, found null")),
        ({"end": [None]}, ("end", "end: ")),
        ({"site": [None]}, ("series", "series.site: ")),
    ],
    ids=["numbers", "a list", "the time", "an id"],
)
def test_a_row_that_has_lost_something_is_refused_by_itself_also_where_it_is_alone(embedder, lost, fault, form):
    alone = frame(1).assign(**lost)
    among = pd.concat([frame(3), alone], ignore_index=True)
    faults = [embedder.embed(form(table)).faults[0] for table in (alone, among)]
    assert [(one.row, one.reason) for one in faults] == [(0, fault[0]), (3, fault[0])]
    assert [one.detail.startswith(fault[1]) for one in faults] == [True, True], faults


def test_a_feature_that_there_is_not_is_answered_by_those_that_there_are(embedder):
    result = embedder.embed(frame(2))
    with pytest.raises(KeyError, match=r"a feature of the artifact \((hidden, mean|mean, hidden)\), found 'embedding'"):
        result["embedding"]
    assert result.get("embedding") is None


def test_no_rows_give_no_vectors(embedder):
    assert embedder.embed(frame().iloc[:0].astype({"flow": object}))["hidden"].shape == (0, 5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda t: t.drop(columns="head"), "past.head: expected lists of numbers, found nothing"),
        (lambda t: t.assign(end=t["end"].dt.tz_localize(None)), "in pandas: tz_localize"),
        (lambda t: t.assign(flow=1.0), "past.flow: expected lists of numbers"),
        (lambda t: t.assign(flow=[[True] * 4] * len(t)), r"past.flow: expected lists of numbers.* astype\(float\)"),
        (lambda t: t.assign(flow=[1, [2.0], "a", None, 3]), "column"),
        (lambda t: t["flow"].tolist(), "expected a table of windows"),
    ],
)
def test_a_table_without_such_windows_is_refused_with_what_was_expected(embedder, given, said):
    with pytest.raises(undertow.Refused, match=said):
        embedder.embed(given(frame()))


def test_an_input_known_ahead_has_two_columns_told_apart_by_their_parts():
    from undertow.api.frames import table_of  # noqa: PLC0415 not public

    price = Column(name="price")
    contract = InputContract(
        series=(IdColumn(name="site", type="string"),),
        past=(price,),
        future=(price,),
        min_length=1,
        max_length=2,
        horizon=1,
    )
    flat = pd.DataFrame({"site": ["a"], "end": [0], "past.price": [[1.0, 2.0]], "future.price": [[3.0]]})
    (row,) = table_of(flat, contract).to_pylist()
    assert row == {"end": 0, "series": {"site": "a"}, "past": {"price": [1.0, 2.0]}, "future": {"price": [3.0]}}
    with pytest.raises(undertow.Refused, match=r"past\.price"):
        table_of(flat.rename(columns={"past.price": "price"}), contract)


def test_taps_lists_what_fires_in_a_module_and_in_what_a_toml_describes(model):
    net, folder = model
    fired = undertow.taps(net, torch.zeros(1, 4, 2))
    assert [info.paths for info in fired] == [("rnn",), ("head",)]
    survey = undertow.taps(folder / "net.toml", code=[PACKAGE])
    assert [layer.paths for layer in survey.layers] == [("rnn",), ("head",)]
    with pytest.raises(undertow.Refused, match=r"taps\(model, x\)"):
        undertow.taps(net)  # type: ignore[call-overload]


def test_every_public_name_is_there_and_the_tests_of_others_get_their_parts():
    import undertow.testing  # noqa: PLC0415 what it needs is not needed by the others

    assert [name for name in undertow.__all__ if not hasattr(undertow, name)] == []
    assert [name for name in undertow.testing.__all__ if not hasattr(undertow.testing, name)] == []
    assert set(undertow.__all__) <= set(dir(undertow))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = undertow.nothing_of_the_kind  # type: ignore[attr-defined]


def test_the_import_alone_brings_nothing_heavy():
    program = "import sys, undertow; print({'torch', 'numpy', 'ray', 'feast', 'pandas', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_it_works_in_a_folder_that_has_workers_and_schemas_of_its_own(tmp_path: Path):
    for name in ("workers", "schemas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('this is somebody else\\'s')\n")
    environment = {"PYTHONPATH": ".", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    program = "import undertow; print(undertow.Feature.parse('rnn:last').tap.path, undertow.Taps.__name__)"
    script = str(Path(sys.executable).with_name("undertow"))
    for command in ([sys.executable, "-c", program], [script, "taps", "--help"]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

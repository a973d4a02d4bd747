"""`import undertow`, as a program of somebody's uses it; vectors are held against the plain module."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import undertow
from undertow.schemas.contract import Column, IdColumn, InputContract

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 5, batch_first=True)
        self.head = nn.Linear(5, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])
"""
TOML = """
class = "{package}:Net"
weights = "net.pt"
[input]
columns = ["flow", "head"]
axes = "ntc"
max_length = 6
[series]
site = "string"
"""
PACKAGE = "net_of_the_api_tests"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The module, and the folder where its TOML is."""
    folder = tmp_path_factory.mktemp("api")
    (folder / f"{PACKAGE}.py").write_text(NET)
    (folder / "net.toml").write_text(TOML.format(package=PACKAGE))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))  # for the process that loads what was packed
        torch.manual_seed(1)
        net = __import__(PACKAGE).Net().eval()
        torch.save(net.state_dict(), folder / "net.pt")
        yield net, folder
    del sys.modules[PACKAGE]


@pytest.fixture(scope="module")
def embedder(model):
    _, folder = model
    notes = []
    artifact = undertow.pack(
        folder / "net.toml",
        name="sites",
        taps={"hidden": "rnn#0[0]:last", "mean": undertow.Feature.parse("rnn#0[0]:mean")},
        output=folder / "artifact",
        code=[PACKAGE],
        note=notes.append,
    )
    with undertow.load(str(artifact), device="cpu", code=[PACKAGE]) as loaded:
        yield loaded


def frame(rows=5):
    rng = np.random.default_rng(3)
    cells = {name: [rng.normal(size=6) for _ in range(rows)] for name in ("flow", "head")}
    ends = pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC")
    return pd.DataFrame({"site": [f"s{row}" for row in range(rows)], "end": ends, **cells}, index=range(10, 10 + rows))


def hidden(model, table):
    steps = np.stack([np.stack(table[name].tolist()) for name in ("flow", "head")], axis=2).astype(np.float32)
    with torch.inference_mode():
        return model[0].rnn(torch.from_numpy(steps))[0].numpy()


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


def test_no_rows_give_no_vectors(embedder):
    assert embedder.embed(frame().iloc[:0].astype({"flow": object}))["hidden"].shape == (0, 5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda t: t.drop(columns="head"), "past.head: expected lists of numbers, found nothing"),
        (lambda t: t.assign(end=t["end"].dt.tz_localize(None)), "in pandas: tz_localize"),
        (lambda t: t.assign(flow=1.0), "past.flow: expected lists of numbers"),
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
        _ = undertow.nothing_of_the_kind


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


class Broken:
    def __arrow_c_stream__(self, requested_schema=None):
        raise KeyError("no such stream")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda t: pd.concat([t, t[["flow"]]], axis=1), "two columns named flow"),
        (lambda t: t.assign(end=[10**30] * len(t)), "the column end has cells"),
        (lambda t: t.assign(flow=[[10**30]] * len(t)), "the column flow has cells .* row 0: OverflowError"),
        (lambda t: t.assign(site=["a", "b", "a\ud800", "c", "d"]), "the column site has cells .* row 2: Unicode"),
        (lambda t: t.assign(flow=[np.zeros(6, complex)] * len(t)), "the column flow has cells"),
        (lambda t: t["site"], "expected a table of windows"),
        (
            lambda t: t.set_index("site"),
            r"series.site: expected strings, found nothing.*site is the index",
        ),
        (lambda _: Broken(), "Broken hands out no Arrow table: KeyError"),
    ],
)
def test_what_no_table_can_hold_is_refused_by_the_name_of_its_column(embedder, given, said):
    with pytest.raises(undertow.Refused, match=said):
        embedder.embed(given(frame()))


def test_other_columns_may_hold_anything(model, embedder):
    table = frame()
    odd = table.assign(notes=[object() for _ in range(len(table))], more=[1, "a", [2], None, 1j])
    odd = pd.concat([odd, odd[["notes"]]], axis=1)
    np.testing.assert_allclose(embedder.embed(odd)["hidden"], hidden(model, table)[:, -1], atol=1e-6)


def test_an_embedder_that_is_closed_or_copied_says_so(model, embedder):
    _, folder = model
    with pytest.raises(TypeError, match=r"undertow\.load in each process"):
        pickle.dumps(embedder)
    with pytest.raises(TypeError, match=r"undertow\.load in each process"):
        copy.deepcopy(embedder)
    with undertow.load(folder / "artifact", device="cpu", code=[PACKAGE]) as other:
        pass
    with pytest.raises(undertow.Refused, match="this embedder of sites is closed"):
        other.embed(frame())
    net, _ = model
    tap = undertow.Feature.parse("rnn#0[0]").tap
    with undertow.Taps(net, [tap]) as taps:
        pass
    with pytest.raises(undertow.Refused, match="closed"):
        taps.run(torch.zeros(1, 4, 2))


@pytest.mark.usefixtures("embedder")
@pytest.mark.parametrize("code", [f"x{PACKAGE}y", PACKAGE, PACKAGE[:3]])
def test_a_text_is_no_list_of_packages_whose_code_may_run(model, code):
    _, folder = model
    with pytest.raises(undertow.Refused, match="code: expected a list of packages"):
        undertow.load(folder / "artifact", device="cpu", code=code)


@pytest.mark.usefixtures("embedder")
@pytest.mark.parametrize("threads", [0, -1, "a"])
def test_threads_that_are_no_number_of_threads_are_refused(model, threads):
    _, folder = model
    with pytest.raises(undertow.Refused, match="threads: expected a whole number of 1 or more"):
        undertow.load(folder / "artifact", device="cpu", code=[PACKAGE], threads=threads)


@pytest.mark.parametrize("path", [None, 3, "", b"artifact"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(undertow.Refused, match="expected the folder of an artifact"):
        undertow.load(path)


def test_names_of_taps_and_series_are_no_texts(model, tmp_path):
    _, folder = model
    with pytest.raises(undertow.Refused, match="taps: expected names of features"):
        undertow.pack(folder / "net.toml", name="n", taps="rnn:last", output=tmp_path / "a")
    with pytest.raises(undertow.Refused, match="series: expected a list"):
        undertow.pack(folder / "net.toml", name="n", taps={"a": "rnn:last"}, series="site", output=tmp_path / "a")


def test_a_module_that_takes_two_things_is_called_as_one_says():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

        def forward(self, x, scale):
            return self.layer(x) * scale

    net = Two()
    (found,) = undertow.taps(net, (torch.ones(1, 2), 2.0), call=lambda pair: net(*pair))
    assert found.paths == ("layer",)


def test_a_pooling_that_is_left_out_is_asked_for():
    with pytest.raises(undertow.Refused, match="no pooling is given"):
        undertow.pool(torch.zeros(2, 3, 4), undertow.Feature.parse("lstm").pools)

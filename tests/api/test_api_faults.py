"""What is given to `import undertow` and is not as it must be: a clear refusal, with the name of what it is about."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import undertow
from tests.api.conftest import PACKAGE, frame, hidden


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
        (lambda _: Broken(), "Broken exports no Arrow table: KeyError"),
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
    with pytest.raises(undertow.Refused, match="expected a pooling, found none"):
        undertow.pool(torch.zeros(2, 3, 4), undertow.Feature.parse("lstm").pools)

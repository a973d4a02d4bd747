"""The vectors for labels, from Python, beside the join's own Parquet and pandas' `merge_asof`."""

import datetime as dt

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import undertow
from tests.history.test_join import JUNE, write_part
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.artifact.format.manifest import read_manifest

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def log(tmp_path_factory, artifact):
    """A log with a vector [n, -n] every hour of June's first day, for two sites."""
    root = tmp_path_factory.mktemp("training") / "log"
    make_log(root)
    home = claim_folder(root, read_manifest(artifact).view())
    rows = [
        (site, 1, JUNE + n * HOUR_US, 1, None, float(n + add))
        for site, add in (("a", 0), ("b", 100))
        for n in range(24)
    ]
    write_part(home / "w" / "0.parquet", rows)
    return root


LABELS = pd.DataFrame(
    {
        "site": ["b", "a", "c", "a", "b"],
        "lap": [1, 1, 1, 1, 2],
        "event_timestamp": pd.to_datetime(
            [JUNE + us for us in (90 * 60_000_000, 0, 0, 99 * HOUR_US, HOUR_US)], unit="us", utc=True
        ),
        "is_leak": [0, 1, 0, 1, 0],
    },
    index=[5, 3, 3, 1, 0],
)


def relation(frame):
    return duckdb.from_arrow(pa.Table.from_pandas(frame, preserve_index=False))


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.Table.from_pandas, relation])
def test_each_label_has_the_newest_vector_at_or_before_its_time_in_its_own_row(artifact, log, kind):
    labels = kind(LABELS)
    training = undertow.training_frame(labels, artifact=artifact, log=log)
    expected = np.array([[101, -101], [0, 0], [np.nan] * 2, [23, -23], [np.nan] * 2], np.float32)
    np.testing.assert_array_equal(training["hidden"], expected)
    np.testing.assert_array_equal(training["gate"], expected[:, :1])
    assert training["hidden"].dtype == np.float32
    assert training.found.tolist() == [True, True, False, True, False]
    np.testing.assert_array_equal(training.age_seconds, [1800.0, 0.0, np.nan, 76 * 3600.0, np.nan])
    assert training.labels is labels
    assert (training.view, len(training.space)) == (read_manifest(artifact).view().view, 64)


def test_a_tolerance_and_a_choice_of_features_are_kept_to(artifact, log):
    training = undertow.training_frame(
        LABELS, artifact=artifact, log=log, features=["gate"], tolerance=dt.timedelta(hours=1)
    )
    assert [*training] == ["gate"]
    assert training.found.tolist() == [True, True, False, False, False]


def test_the_artifact_and_the_log_are_those_of_the_folders_project(artifact, log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "undertow.toml").write_text(f"[model]\nartifact = '{artifact}'\n[offline]\npath = '{log}'\n")
    assert undertow.training_frame(LABELS).found.sum() == 3


def test_what_it_cannot_join_is_refused_with_what_was_expected(artifact, log, tmp_path):
    def ask(labels, **options):
        return undertow.training_frame(labels, **{"artifact": artifact, "log": log, **options})

    with pytest.raises(
        undertow.Refused, match=r"the ids site, lap and the time event_timestamp .*without site, found lap"
    ):
        ask(LABELS.drop(columns="site"))
    with pytest.raises(undertow.Refused, match=r"expected a table of labels .*found list"):
        ask([1])
    with pytest.raises(undertow.Refused, match=r"expected features of .* \(hidden, gate\), found 'hiden'"):
        ask(LABELS, features=["hiden"])
    with pytest.raises(undertow.Refused, match="expected whole seconds"):
        ask(LABELS, tolerance=dt.timedelta(milliseconds=5))
    make_log(tmp_path / "empty")
    with pytest.raises(undertow.Refused, match="no parts of"):
        ask(LABELS, log=tmp_path / "empty")
    none = ask(LABELS.iloc[:0])
    assert (none["hidden"].shape, len(none.found)) == ((0, 2), 0)

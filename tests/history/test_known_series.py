"""Which series the log has, beside pandas' `groupby`."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.history.test_join import JUNE, MEMORY, VIEW, write_part
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.history.known_series import list_series
from undertow.schemas.times import Span

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "ü"]),
        st.integers(-1, 1),
        st.integers(0, 4).map(lambda hour: JUNE + hour * 3_600_000_000),
        st.integers(1, 9),
        st.just(None),
        st.just(1.0),
    ),
    min_size=1,
    max_size=30,
)


def expected(rows):
    """One row a series, newest event time first, then by ids."""
    frame = pd.DataFrame([row[:4] for row in rows], columns=["site", "lap", "event_timestamp", "created"])
    frame = frame.groupby(["site", "lap"], as_index=False).agg(
        event_timestamp=("event_timestamp", "max"), created=("created", "max"), rows=("lap", "size")
    )
    for name in ("event_timestamp", "created"):
        frame[name] = pd.to_datetime(frame[name], unit="us", utc=True).astype("datetime64[us, UTC]")
    newest = frame.sort_values(["event_timestamp", "site", "lap"], ascending=[False, True, True])
    return newest.reset_index(drop=True)


@given(parts=st.lists(ROWS, min_size=1, max_size=3), show=st.integers(0, 5), since=st.integers(0, 5))
def test_each_series_is_there_once_with_its_newest_time_whatever_the_parts(tmp_path_factory, parts, show, since):
    folder = tmp_path_factory.mktemp("log")
    for number, rows in enumerate(parts):
        write_part(folder / "log" / "w" / f"{number}.parquet", rows)
    wanted = Span(since_us=JUNE + since * 3_600_000_000)
    found = list_series(
        folder / "log", VIEW, wanted, read_memory_bytes=MEMORY, show=show, output=folder / "o" / "all.parquet"
    )
    all_ = expected([row for rows in parts for row in rows])
    some = all_[all_["event_timestamp"] >= pd.Timestamp(wanted.since_us, unit="us", tz="UTC")].reset_index(drop=True)
    assert (found.all, found.wanted) == (len(all_), len(some))
    pd.testing.assert_frame_equal(pq.read_table(folder / "o" / "all.parquet").to_pandas(), some)
    pd.testing.assert_frame_equal(found.shown.to_pandas(), some[:show])


def test_the_range_ends_before_its_end_and_an_empty_log_has_no_series(tmp_path):
    write_part(tmp_path / "log" / "0.parquet", [("a", 1, JUNE, 1, None, 1.0), ("b", 1, JUNE + 1, 1, None, 1.0)])
    older = list_series(tmp_path / "log", VIEW, Span(until_us=JUNE + 1), read_memory_bytes=MEMORY, show=9)
    assert older.shown["site"].to_pylist() == ["a"]
    none = list_series(tmp_path / "nothing", VIEW, Span(), read_memory_bytes=MEMORY, show=9)
    assert (none.all, len(none.shown)) == (0, 0)


@pytest.fixture
def project(tmp_path, monkeypatch, artifact):
    """A project whose log has 30 series; series n has n + 1 windows, the last n hours after JUNE."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", str(artifact))
    from undertow.artifact.format.manifest import read_manifest  # noqa: PLC0415 only here

    make_log(tmp_path / ".undertow" / "offline")
    home = claim_folder(tmp_path / ".undertow" / "offline", read_manifest(artifact).view())
    hours = [(n, hour) for n in range(30) for hour in range(n + 1)]
    write_part(
        home / "w" / "0.parquet",
        [(f"[red]s{n:02d}", n, JUNE + hour * 3_600_000_000, JUNE, None, 1.0) for n, hour in hours],
    )
    return tmp_path


def call(*words):
    return CliRunner().invoke(main, ["series", *words])


@pytest.mark.usefixtures("project")
def test_the_command_shows_the_newest_and_says_how_many_there_are():
    done = call("--limit", "2")
    assert done.exit_code == 0, done.output
    assert "[red]s29" in done.output
    assert "[red]s28" in done.output
    assert "[red]s27" not in done.output
    assert "has 30 series, 28 more than shown (--limit, or -o for a file)" in done.output
    assert call("--newer", "1d").output.strip().endswith("has 0 of 30 series")
    assert "30 series" in call("--older", "1d", "--limit", "0").output


def test_for_programs_it_prints_a_json_object_a_line_and_writes_all_to_a_file(project):
    done = call("--json", "--limit", "3", "-o", "all.parquet")
    lines = [json.loads(line) for line in done.output.splitlines()]
    assert [line["site"] for line in lines] == ["[red]s29", "[red]s28", "[red]s27"]
    assert lines[0] == {
        "site": "[red]s29",
        "lap": 29,
        "rows": 30,
        "event_timestamp": "2024-06-02T05:00:00.000000Z",
        "created": "2024-06-01T00:00:00.000000Z",
    }
    table = pq.read_table(project / "all.parquet")
    np.testing.assert_array_equal(table["lap"].to_numpy(), np.arange(30)[::-1])


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    write_part(tmp_path / "log" / "0.parquet", [("a", 1, JUNE, 1, None, 1.0)])
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="could not be written"):
        list_series(
            tmp_path / "log", VIEW, Span(), read_memory_bytes=MEMORY, show=1, output=tmp_path / "file" / "x.parquet"
        )

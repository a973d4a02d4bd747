"""Ids as they are typed and as they stand in files: of any letters, integers, several of one series."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from undertow.adapters.offline_wanted import WantedSeries, read_all
from undertow.core.errors import Refused, WrongUsage
from undertow.history.series_ids import parse_series
from undertow.schemas.contract import IdColumn

SITE, LAP = IdColumn(name="site", type="string"), IdColumn(name="lap", type="integer")
BOTH = (SITE, LAP)
ODD = ["it's", 'a"b', "ä,lap=x", "日本", "", " a ", "x=y", "a,b", "{", "\n", "007", "null"]


def parsed(texts, columns=BOTH, file=None):
    return sorted(tuple(row.values()) for row in parse_series(texts, columns, file=file).to_pylist())


def test_ids_of_one_series_stand_behind_commas_in_any_order_and_values_are_taken_as_they_are():
    assert parsed(["site=a,lap=3", "lap=-4,site=b,c", "site= a ,lap=3", "site=a,lap=3"]) == [
        (" a ", 3),
        ("a", 3),
        ("b,c", -4),
    ]
    assert parsed(["site=s=08, x"], (SITE,)) == [("s=08, x",)]


@pytest.mark.parametrize("odd", ODD)
def test_whatever_letters_an_id_has_json_and_files_say_it(odd, tmp_path):
    assert parsed([json.dumps({"site": odd, "lap": 3})]) == [(odd, 3)]
    assert parsed([f"site={odd}"], (SITE,)) == [(odd,)]
    table = pa.table({"lap": [3, 3], "other": [1.5, None], "site": [odd, odd]})
    pq.write_table(table, tmp_path / "ids.parquet")
    pacsv.write_csv(table, tmp_path / "ids.csv")
    for name in ("ids.parquet", "ids.csv"):
        assert parsed(["site=z,lap=1"], file=tmp_path / name) == sorted([(odd, 3), ("z", 1)])


def test_categories_and_whole_floats_of_pandas_are_taken(tmp_path):
    pd.DataFrame({"site": pd.Categorical(["a", "b"]), "lap": [1.0, 2.0]}).to_parquet(tmp_path / "ids.parquet")
    assert parsed([], file=tmp_path / "ids.parquet") == [("a", 1), ("b", 2)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s08", "expected site=s08,lap=8, found 's08'"),
        ("site=a", "expected site=s08,lap=8"),
        ("site=a,lap=1,lap=2", "each id once"),
        ("site=a,lap=x", "the id lap is an integer of 64 bits, found 'x'"),
        ("site=a,lap=9223372036854775808", "64 bits"),
        ('{"site": "a"}', "expected site=s08,lap=8"),
        ('{"site": 5, "lap": 5}', "the id site is a text"),
        ('{"site": "a", "lap": true}', "the id lap is an integer"),
        ('{"site"', 'expected JSON such as {"site": "s08", "lap": 8}'),
        ('{"site": "\\ud800", "lap": 1}', "a text of valid letters"),
    ],
)
def test_what_names_no_series_is_wrong_usage(text, told):
    with pytest.raises(WrongUsage) as wrong:
        parse_series([text], BOTH)
    assert told in str(wrong.value)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"site": ["a"]}, "not once there: lap; found site"),
        ({"site": ["a", None], "lap": [1, 2]}, "expected an id in every row"),
        ({"site": [1], "lap": [1]}, "site has the type int64, expected texts"),
        ({"site": ["a"], "lap": ["1"]}, "lap has the type string, expected integers"),
        ({"site": ["a"], "lap": [1.5]}, "truncated"),
    ],
)
def test_what_a_file_lacks_is_told(columns, told, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "ids.parquet")
    with pytest.raises(Refused, match=told):
        parse_series([], BOTH, file=tmp_path / "ids.parquet")


@pytest.mark.parametrize("content", ["site\na\n", "site,lap\na,x\n", "", "site,lap\na,\n", "site,lap\na\n"])
def test_what_a_csv_lacks_is_told(content, tmp_path):
    (tmp_path / "ids.csv").write_text(content)
    with pytest.raises(Refused, match=r"ids\.csv"):
        parse_series([], BOTH, file=tmp_path / "ids.csv")


texts = st.one_of(st.sampled_from(ODD), st.text(st.characters(codec="utf-8"), max_size=3))
keys = st.tuples(texts, st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(keys, max_size=30), asked=st.lists(keys, min_size=1, max_size=5), group=st.integers(1, 40))
def test_the_rows_found_are_those_that_a_plain_comparison_finds(rows, asked, group, tmp_path):
    asked = list(dict.fromkeys([*asked, *rows[:2]]))
    schema = pa.schema([("site", pa.string()), ("lap", pa.int64())])
    table = pa.Table.from_pylist([{"site": site, "lap": lap} for site, lap in sorted(rows)], schema=schema)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=group)
    ids = pa.Table.from_pylist([{"site": site, "lap": lap} for site, lap in asked], schema=schema)
    wanted = WantedSeries(ids=ids)
    found = [tuple(row.values()) for row in wanted.found_in(tmp_path / "rows.parquet").to_pylist()]
    assert found == [row for row in sorted(rows) if row in asked]
    left = [tuple(row.values()) for row in wanted.without(read_all(tmp_path / "rows.parquet")).to_pylist()]
    assert left == [row for row in sorted(rows) if row not in asked]


def test_a_file_that_its_statistics_rule_out_is_not_read(tmp_path, monkeypatch):
    table = pa.table({"site": ["b", "c", "c"], "lap": [5, 6, 7]})
    pq.write_table(table, tmp_path / "rows.parquet")
    monkeypatch.setattr("undertow.adapters.offline_wanted.is_sealed", None)
    for site, lap in (("a", 5), ("d", 6), ("c", 8), ("c", 4)):
        asked = pa.table({"site": [site], "lap": pa.array([lap], pa.int64())})
        assert len(WantedSeries(ids=asked).found_in(tmp_path / "rows.parquet")) == 0

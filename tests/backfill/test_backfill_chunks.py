"""History is cut the same way every time, and each chunk holds exactly its rows."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.backfill.chunks import ChunkReader, cut
from undertow.core.errors import Refused
from undertow.schemas.contract import Column, IdColumn, InputContract

CONTRACT = InputContract(
    series=(IdColumn(name="sensor", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
)
SPACE = "b" * 64


def write(path, rows, *, group=4, start=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "series": [{"sensor": f"s{n % 3}"} for n in range(rows)],
            "end": pa.array(range(start, start + rows), pa.int64()),
            "past": [{"x": [float(n)]} for n in range(rows)],
            "note": ["ignored"] * rows,
        }
    )
    pq.write_table(table, path, row_group_size=group)


def cut_all(history, chunk_rows=5):
    return list(cut(history, CONTRACT, space=SPACE, chunk_rows=chunk_rows).chunks)


def test_all_files_are_cut_into_equal_chunks_and_a_rest(tmp_path):
    write(tmp_path / "b.parquet", 12)
    write(tmp_path / "a" / "deep.parquet", 5)
    write(tmp_path / "_temporary" / "0.parquet", 5)
    (tmp_path / "readme.txt").write_text("no history")
    assert [(chunk.path, chunk.first, chunk.rows) for chunk in cut_all(tmp_path)] == [
        ("a/deep.parquet", 0, 5),
        ("b.parquet", 0, 5),
        ("b.parquet", 5, 5),
        ("b.parquet", 10, 2),
    ]


def test_chunks_keep_their_names_when_history_moves_or_grows_and_lose_them_with_the_space(tmp_path):
    write(tmp_path / "one" / "a.parquet", 12)
    names = [chunk.id for chunk in cut_all(tmp_path / "one")]
    (tmp_path / "one").rename(tmp_path / "two")
    assert [chunk.id for chunk in cut_all(tmp_path / "two")] == names
    assert [chunk.id for chunk in cut_all(tmp_path / "two" / "a.parquet")] == names
    write(tmp_path / "two" / "0.parquet", 5)
    assert [chunk.id for chunk in cut_all(tmp_path / "two")][1:] == names
    assert len(set(names)) == 3
    others = cut(tmp_path / "two" / "a.parquet", CONTRACT, space="d" * 64, chunk_rows=5)
    assert not set(names) & {chunk.id for chunk in others.chunks}


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    group=st.integers(1, 12),
    chunk_rows=st.integers(1, 15),
    order=st.randoms(use_true_random=False),
)
def test_chunks_read_in_any_order_hold_exactly_their_rows(tmp_path_factory, rows, group, chunk_rows, order):
    folder = tmp_path_factory.mktemp("history")
    write(folder / "a.parquet", rows, group=group)
    write(folder / "b.parquet", rows, group=group, start=1000)
    chunks = cut_all(folder, chunk_rows)
    order.shuffle(chunks)
    reader = ChunkReader(folder, ["series", "end", "past"])
    for chunk in chunks:
        table = reader.read(chunk)
        begin = chunk.first + (1000 if chunk.path == "b.parquet" else 0)
        assert table.column_names == ["series", "end", "past"]
        assert table["end"].to_pylist() == list(range(begin, begin + chunk.rows))


def test_a_file_rewritten_with_other_values_has_other_chunks_even_if_its_size_stays(tmp_path):
    write(tmp_path / "a.parquet", 5, start=1_000)
    before = (cut_all(tmp_path)[0], (tmp_path / "a.parquet").stat().st_size)
    write(tmp_path / "a.parquet", 5, start=2_000)
    after = (cut_all(tmp_path)[0], (tmp_path / "a.parquet").stat().st_size)
    assert before[1] == after[1]
    assert before[0].id != after[0].id


def test_a_file_that_changed_after_it_was_cut_is_refused(tmp_path):
    write(tmp_path / "a.parquet", 5)
    (chunk,) = cut_all(tmp_path)
    write(tmp_path / "a.parquet", 50)
    with pytest.raises(Refused, match="start it again"):
        ChunkReader(tmp_path, ["end"]).read(chunk)


def test_history_that_cannot_hold_windows_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(Refused, match="found none"):
        cut_all(tmp_path)
    pq.write_table(pa.table({"end": pa.array([1], pa.int64())}), tmp_path / "a.parquet")
    with pytest.raises(
        Refused, match=r"a\.parquet cannot hold windows .* series\.sensor: expected strings, found nothing"
    ):
        cut_all(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(Refused, match=r"a\.parquet is no readable Parquet file"):
        cut_all(tmp_path)

"""Which rows are drawn: evenly chosen, each key once, of one space."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from scipy.stats import chisquare

from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import claim_folder
from undertow.core.errors import Refused
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.schemas.times import Span
from undertow.stream.ports import ChainPart
from undertow.view.read import BATCH_BYTES, MOST_BATCH_ROWS, _batch_rows, read_rows

BEGIN_US = 1_767_225_600_000_000


def read(source, *, feature=None, sample=5000, span=None, **options):
    return read_rows(source, feature=feature, sample=sample, span=span or Span(), **options)


def write(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def lists(vectors):
    return pa.array(np.asarray(vectors, np.float32).tolist(), pa.list_(pa.float32()))


def seconds(rows):
    return ((rows.event_us - BEGIN_US) // 1_000_000).tolist()


def test_a_chain_of_the_log_is_read_whole_with_its_ids_and_times(write_part):
    rows = read(write_part())
    assert sorted(seconds(rows)) == list(range(40))
    assert rows.ids == ("wearer", "arm")
    assert list(rows.frame.columns) == ["wearer", "arm"]
    assert rows.space == "a" * 64
    expected = np.random.default_rng(7).normal(size=(40, 4)).astype(np.float32) * np.array([4, 2, 1, 1], np.float32)
    np.testing.assert_array_equal(rows.vectors, expected[seconds(rows)])
    assert [f"s{n % 3}" for n in seconds(rows)] == rows.frame["wearer"].tolist()


def test_a_key_written_twice_is_one_row_the_newest_created_whichever_file_comes_first(write_part):
    write_part("0", created_us=2, scale=3.0)
    folder = write_part("1", created_us=1, scale=1.0)
    once = read(write_part("2", first=40, rows=5, created_us=1, scale=1.0))
    assert sorted(seconds(once)) == list(range(45))
    expected = np.random.default_rng(7).normal(size=(45, 4)).astype(np.float32) * np.array([4, 2, 1, 1], np.float32)
    expected[:40] *= np.float32(3.0)
    np.testing.assert_array_equal(once.vectors, expected[seconds(once)])
    assert once.read == 85
    write_part("0", created_us=1, scale=1.0)
    write_part("1", created_us=2, scale=3.0)
    np.testing.assert_array_equal(read(folder).vectors, once.vectors)


def test_in_parts_of_earlier_versions_whose_rows_share_one_created_the_greatest_partition_and_offset_is_drawn(tmp_path):
    columns = {"id": [1] * 4, "event_timestamp": [BEGIN_US] * 4, "created": [7] * 4}
    origin = {"origin_partition": [0, 1, 1, None], "origin_offset": [9, 5, 4, None]}
    rows = read(write(tmp_path / "old.parquet", {**columns, **origin, "v": lists(np.arange(4)[:, None] * [1.0, 2.0])}))
    assert rows.vectors.tolist() == [[1.0, 2.0]]


def test_the_sample_is_the_same_however_the_rows_are_cut_into_files_and_batches(tmp_path, monkeypatch):
    n = 3000
    columns = {
        "id": pa.array(np.arange(n) % 7),
        "event_timestamp": pa.array(BEGIN_US + np.arange(n) * 1000, pa.timestamp("us", tz="UTC")),
        "v": lists(np.arange(n)[:, None] * [1.0, -1.0]),
    }
    one = read(write(tmp_path / "one.parquet", columns), sample=100)
    shuffled = pa.table(columns).take(np.random.default_rng(1).permutation(n))
    (tmp_path / "many").mkdir()
    for part in range(3):
        pq.write_table(shuffled.slice(part * 1000, 1000), tmp_path / "many" / f"{part}.parquet", row_group_size=300)
    monkeypatch.setattr("undertow.view.read.MOST_BATCH_ROWS", 64)
    many = read(tmp_path / "many", sample=100)
    np.testing.assert_array_equal(one.vectors, many.vectors)
    assert (len(one.vectors), one.read, one.is_sampled) == (100, n, True)
    smaller = read(tmp_path / "many", sample=30)
    np.testing.assert_array_equal(smaller.vectors, one.vectors[:30])  # the first rows are an even sample too


def test_an_even_sample_of_the_log_is_that_of_the_same_rows_in_a_table_of_others(tmp_path, write_part):
    for number, (first, created) in enumerate([(0, 3), (200, 1), (100, 2)]):  # 200 keys come twice
        folder = write_part(str(number), rows=200, first=first, created_us=created, scale=float(created))
    (tmp_path / "others").mkdir()
    for number, part in enumerate(sorted(folder.rglob("*.parquet"))):
        pq.write_table(pq.read_table(part), tmp_path / "others" / f"{number}.parquet")
    ours, others = (read(source, sample=50, feature="embedding") for source in (folder, tmp_path / "others"))
    assert (ours.read, ours.is_sampled, others.is_sampled) == (600, True, True)
    np.testing.assert_array_equal(ours.vectors, others.vectors)
    pd.testing.assert_frame_equal(ours.frame, others.frame)


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["a", None, "a", None, "b"]),
        pa.array(["a", None, "a", None, "b"], pa.large_string()),
        pa.array([b"a", None, b"a", None, b"b"]),
        pa.array([1, None, 1, None, 2]),
        pa.array([1.5, None, 1.5, None, float("nan")]),
        pa.array([True, None, True, None, False]),
        pa.array([Decimal("1.5"), None, Decimal("1.5"), None, Decimal(2)]),
        pa.array([1, None, 1, None, 2], pa.timestamp("us", tz="UTC")),
        pa.array([1, None, 1, None, 2], pa.date32()),
    ],
    ids=lambda ids: str(ids.type),
)
def test_rows_of_one_id_and_time_are_one_whatever_type_an_id_has(tmp_path, ids):
    columns = {"id": ids, "event_timestamp": [BEGIN_US] * 5, "v": lists(np.arange(5)[:, None] * [1.0, 2.0])}
    assert len(read(write(tmp_path / "ids.parquet", columns), series=["id"]).vectors) == 3


def test_of_longer_vectors_fewer_rows_are_read_at_once_and_files_without_rows_say_nothing(tmp_path):
    found = []
    for size in (1, 1024, 65_536):
        folder = tmp_path / f"{size}"
        folder.mkdir()
        vectors = np.random.default_rng(0).normal(size=(64, size)).astype(np.float32)
        whole = {"v": lists(vectors)}
        write(folder / "0.parquet", {"v": whole["v"].slice(0, 0)})
        write(folder / "1.parquet", whole)
        found.append(_batch_rows(ds.dataset(sorted(folder.iterdir()), format="parquet")))
    assert found[0] == MOST_BATCH_ROWS
    for rows, size in zip(found[1:], (1024, 65_536), strict=True):
        assert 0.5 < rows * size * 4 / BATCH_BYTES <= 1


def test_the_sample_is_even_over_time_and_over_ids_even_where_one_half_was_written_twice(tmp_path):
    n = 20_000
    at = np.concatenate([np.arange(n), np.arange(n // 2)])
    path = write(
        tmp_path / "rows.parquet",
        {"id": at % 5, "event_timestamp": BEGIN_US + at, "v": lists(at[:, None] * [1.0, 2.0])},
    )
    rows = read(path, sample=2000)
    assert chisquare(np.bincount((rows.event_us - BEGIN_US) // (n // 10), minlength=10)).pvalue > 0.001
    assert chisquare(np.bincount(rows.frame["id"])).pvalue > 0.001
    assert chisquare(np.bincount((rows.event_us[:500] - BEGIN_US) // (n // 5), minlength=5)).pvalue > 0.001


def test_several_spaces_in_one_source_are_refused_by_name(write_part):
    write_part(space="a" * 64)
    folder = write_part(space="b" * 64)
    with pytest.raises(Refused, match=f"several spaces.*{'a' * 64}, {'b' * 64}; draw one, such as --space aaaaaaaa"):
        read(folder.parent)
    for unknown in ("zzz", ""):
        with pytest.raises(Refused, match=f"of a space that begins with '{unknown}'; found aaaaaaaa, bbbbbbbb"):
            read(folder.parent, space=unknown)
    one = read(folder.parent, space="bbbb")
    assert (one.space, len(one.vectors), one.read) == ("b" * 64, 40, 40)
    assert len(read(folder).vectors) == 40
    with pytest.raises(Refused, match="begins with 'c'"):
        read(folder.parent, space="c")


def test_what_an_offline_log_has_published_is_read_part_by_part(tmp_path):
    view = SpaceView(
        name="watch", space="e" * 64, series=(IdColumn(name="wearer", type="string"),), features=(("hidden", 3),)
    )
    home = claim_folder(tmp_path, view)
    log = FileOfflineLog(tmp_path, view, cluster_id="c", topic_id="t", writer="w", clock=lambda: 1.0)
    whole = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    for first in (0, 10):
        at = np.arange(first, first + 10)
        batch = EmbeddingBatch(
            space="e" * 64,
            series={"wearer": np.array(["a", "b"] * 5, object)},
            event_us=BEGIN_US + at * 1_000_000,
            created_us=BEGIN_US + at,
            features={"hidden": whole[at]},
        )
        log.publish(ChainPart(partition=Partition("w", 0), first=first, next=first + 10, embeddings=batch, offsets=at))
    rows = read(home)
    assert (rows.ids, rows.feature, rows.space, rows.read) == (("wearer",), "hidden", "e" * 64, 20)
    np.testing.assert_array_equal(rows.vectors, whole[seconds(rows)])


def test_a_table_of_others_says_by_series_what_names_a_series(tmp_path):
    columns = {"v": lists(np.eye(6)), "who": list("ababab"), "n": range(6)}
    rows = read(write(tmp_path / "untimed.parquet", columns), series=("who",))
    assert (rows.ids, len(rows.vectors)) == (("who",), 6)  # without a time no row is another's newer version
    with pytest.raises(Refused, match="columns of --series, whom, among who, n"):
        read(tmp_path / "untimed.parquet", series=("whom",))
    with pytest.raises(Refused, match="expected a column space for --space, found who, n"):
        read(tmp_path / "untimed.parquet", space="a")


def test_a_span_bounds_event_times_and_its_end_is_outside(write_part):
    folder = write_part()
    rows = read(folder, span=Span(since_us=BEGIN_US + 10_000_000, until_us=BEGIN_US + 20_000_000))
    assert sorted(seconds(rows)) == list(range(10, 20))
    assert rows.read == 10
    with pytest.raises(Refused, match="no row to draw"):
        read(folder, span=Span(until_us=BEGIN_US))


@pytest.mark.parametrize(
    "times",
    [
        pd.date_range("2026-01-01", periods=20, freq="s"),
        pd.date_range("2026-01-01", periods=20, freq="s", tz="Europe/Paris").as_unit("ns"),
        pd.Series(BEGIN_US + np.arange(20) * 1_000_000),
        pd.Series(pd.date_range("2026-01-01", periods=20, freq="D").date),
    ],
    ids=["without a zone", "nanoseconds in a zone", "integers", "dates"],
)
@pytest.mark.parametrize("size", [None, 2])
def test_tables_of_others_may_write_times_and_vectors_in_their_own_way(tmp_path, times, size):
    vectors = np.arange(40.0).reshape(20, 2)
    path = write(
        tmp_path / "own.parquet",
        {
            "who": pa.array(["a", "b"] * 10).dictionary_encode(),
            "event_timestamp": pa.array(times),
            "v": pa.array(vectors.tolist(), pa.list_(pa.float64(), size or -1)),
            "label": pa.array(range(20)),
        },
    )
    whole = read(path)
    assert len(whole.vectors) == 20
    order = whole.frame["label"].to_numpy()
    np.testing.assert_array_equal(whole.vectors, vectors[order])
    assert (np.diff(whole.event_us[np.argsort(order)]) > 0).all()
    half = read(path, span=Span(since_us=int(np.sort(whole.event_us)[10])))
    assert sorted(half.frame["label"]) == list(range(10, 20))


def test_without_ids_before_the_time_every_row_stands_for_itself(tmp_path):
    rows = read(write(tmp_path / "bare.parquet", {"v": lists(np.ones((9, 3)))}))
    assert (len(rows.vectors), rows.ids, rows.event_us) == (9, (), None)
    with pytest.raises(Refused, match="expected a column event_timestamp"):
        read(tmp_path / "bare.parquet", span=Span(since_us=0))


def test_rows_without_a_finite_vector_or_a_time_are_left_out_and_counted(tmp_path):
    vectors = [[1.0, 2.0], None, [float("nan"), 1.0], [3.0, None], [], [5.0, 6.0], [7.0, 8.0]]
    path = write(
        tmp_path / "holes.parquet",
        {
            "id": list("abcdefg"),
            "event_timestamp": pa.array([0, 1, 2, 3, 4, 5, None], pa.timestamp("us", tz="UTC")),
            "v": pa.array(vectors, pa.list_(pa.float32())),
        },
    )
    rows = read(path)
    assert sorted(rows.frame["id"]) == ["a", "f"]
    assert (rows.read, rows.unusable) == (7, 5)


def test_the_feature_is_told_where_there_are_several_and_a_wrong_name_gets_the_closest(tmp_path):
    path = write(tmp_path / "two.parquet", {"first": lists(np.eye(5)), "second": lists(np.eye(5)[:, :2])})
    with pytest.raises(Refused, match="several features: first, second; choose one with --feature"):
        read(path)
    assert read(path, feature="second").vectors.shape == (5, 2)
    with pytest.raises(Refused, match="expected a feature 'secnd', found first, second; closest: 'second'"):
        read(path, feature="secnd")


def test_a_source_that_cannot_be_drawn_is_refused_with_what_was_found(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="expected a Parquet file, or a folder with some"):
        read(tmp_path / "empty")
    with pytest.raises(Refused, match="found x: int64"):
        read(write(tmp_path / "numbers.parquet", {"x": [1, 2]}))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(Refused, match="no readable Parquet"):
        read(tmp_path / "text.parquet")
    uneven = write(tmp_path / "uneven.parquet", {"v": pa.array([[1.0], [1.0, 2.0]], pa.list_(pa.float32()))})
    with pytest.raises(Refused, match="1 and 2 dimensions"):
        read(uneven)

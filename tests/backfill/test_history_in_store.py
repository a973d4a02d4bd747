"""History in an object store: the same windows as from a disk, in ranges; a changed object is seen."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.backfill.test_backfill_files import CONTRACT, ROWS, SPACE, windows, write
from undertow.backfill.chunks import ChunkReader, FileFault, cut
from undertow.backfill.digests import Digests, content_digest
from undertow.backfill.history_files import find_history, history_folder
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.windows_arrow import window_schema
from undertow.storage.store_path import StorePath

pytestmark = pytest.mark.s3
COLUMNS = window_schema(CONTRACT).names


def put(path, first=0, **options):
    file = io.BytesIO()
    pq.write_table(windows(first), file, **options)
    path.write_bytes(file.getvalue())
    return path


def cut_all(history, digest_of=content_digest):
    return cut(history, CONTRACT, space=SPACE, chunk_rows=4, digest_of=digest_of)


def test_each_chunk_has_the_rows_that_it_has_on_a_disk(store_root, tmp_path):
    for number in range(3):
        put(store_root / f"h/day={number}/x.parquet", number * ROWS, row_group_size=2)
        write(tmp_path / f"h/day={number}/x.parquet", number * ROWS)
    there, here = cut_all(store_root / "h"), cut_all(tmp_path / "h")
    places = [(one.path, one.first, one.rows, one.before) for one in there.chunks]
    assert places == [(one.path, one.first, one.rows, one.before) for one in here.chunks]
    readers = [ChunkReader(folder, COLUMNS) for folder in (store_root / "h", tmp_path / "h")]
    for chunk, same in zip(there.chunks, here.chunks, strict=True):
        assert readers[0].read(chunk).equals(readers[1].read(same))
    assert readers[0].read(there.chunks[0]).equals(readers[1].read(here.chunks[0]))  # back again


def test_one_object_is_a_history_too(store_root):
    path = put(store_root / "h.parquet")
    assert (history_folder(path), find_history(path).names) == (store_root, ("h.parquet",))
    (first, second) = cut_all(path).chunks
    assert (first.rows, second.rows) == (4, 2)


def test_the_same_objects_make_the_same_chunks_and_another_content_makes_others(store_root, tmp_path):
    path = put(store_root / "h/a.parquet")
    note = tmp_path / "_files.json"
    digests = Digests(note, clock=lambda: 2e9)
    before = [one.id for one in cut_all(store_root / "h", digests.of).chunks]
    digests.save()
    assert [one.id for one in cut_all(store_root / "h", Digests(note, clock=lambda: 2e9).of).chunks] == before
    put(store_root / "h/b.parquet")  # a copy
    found = cut_all(store_root / "h")
    assert ([one.id for one in found.chunks], found.left_out) == (before, ("1 of the same content as another",))
    put(path, 1)
    assert not {*before} & {one.id for one in cut_all(store_root / "h").chunks if one.path == "a.parquet"}


def test_an_object_that_was_replaced_since_it_was_cut_is_not_read(store_root):
    path = put(store_root / "h/a.parquet")
    chunk = cut_all(store_root / "h").chunks[0]
    put(path, 1)
    with pytest.raises(FileFault, match=rf"{path} was changed since it was looked at"):
        ChunkReader(store_root / "h", COLUMNS).read(chunk)
    path.unlink()
    with pytest.raises(FileFault, match="cannot be read"):
        ChunkReader(store_root / "h", COLUMNS).read(chunk)


def test_what_is_no_parquet_is_told_and_nothing_at_all_refused(store_root):
    put(store_root / "h/a.PARQUET")
    for name in ("_SUCCESS", ".hidden.parquet", "_temporary/b.parquet", "readme.txt"):
        (store_root / "h" / name).write_bytes(b"")
    found = find_history(store_root / "h")
    assert (found.names, found.left_out) == (("a.PARQUET",), ("4 objects that are not named as Parquet",))
    with pytest.raises(
        Refused, match=rf"expected a Parquet object at {store_root}/other, or some below it, found none"
    ):
        cut_all(store_root / "other")
    (store_root / "broken/a.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(Refused, match="is no readable Parquet file"):
        cut_all(store_root / "broken")


def test_a_bucket_that_is_not_there_is_told(store_root):
    with pytest.raises(
        Unavailable, match=r"s3://no-such-bucket could not be listed \(the store answers NoSuchBucket\)"
    ):
        find_history(StorePath("s3://no-such-bucket", "", store_root.options))


def test_a_damaged_page_is_found(store_root):
    path = put(store_root / "h/a.parquet", 1_000, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(1_002).tobytes()) + 5] ^= 1
    path.write_bytes(bytes(content))
    chunk = cut_all(store_root / "h").chunks[0]
    with pytest.raises(FileFault, match=r"is damaged, or cannot be read: .*CRC"):
        ChunkReader(store_root / "h", COLUMNS).read(chunk)

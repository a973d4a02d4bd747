"""History is what its files hold: a rewrite is new however alike it looks, no file is passed over without a word."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertow.adapters.offline_parts import encode_part
from undertow.backfill import digests as digests_module
from undertow.backfill.chunks import ChunkReader, FileFault, cut
from undertow.backfill.digests import Digests, content_digest
from undertow.backfill.done import find_done
from undertow.core.errors import Refused
from undertow.core.parquet_files import find_files
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView

CONTRACT = InputContract(
    series=(IdColumn(name="site", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
)
SPACE = "b" * 64
VIEW = SpaceView(name="v", space=SPACE, series=CONTRACT.series, features=(("mean", 1),))
ROWS = 6


def windows(first=0):
    return pa.table(
        {
            "series": [{"site": "s0"} for _ in range(ROWS)],
            "end": pa.array(range(first, first + ROWS), pa.int64()),
            "past": [{"x": [float(first + n)]} for n in range(ROWS)],
        }
    )


def write(path, first=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(windows(first), path, **options)
    return path


def cut_all(history, digest_of=content_digest):
    return cut(history, CONTRACT, space=SPACE, chunk_rows=4, digest_of=digest_of)


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_each_of_20_rewrites_that_keeps_size_and_bounds_is_new_history(tmp_path, compression):
    """Two values of one window are swapped: the bounds of all columns stay, and where nothing packs them, the size."""
    path, table = tmp_path / "h.parquet", windows()
    now, note = 2_000_000_000.0, tmp_path / "_files.json"
    seen = set()
    for attempt in range(20):
        values = [float(n) for n in range(ROWS)]
        values[1], values[2 + attempt % 3] = values[2 + attempt % 3] + attempt / 100, values[1]
        past = [{"x": [values[n], *([] if n else [-1.0, 99.0])]} for n in range(ROWS)]
        pq.write_table(table.set_column(2, "past", [past]), path, compression=compression)
        os.utime(path, ns=(0, 0))  # nor does the time of modification tell
        digests = Digests(note, clock=lambda: now)
        chunks = cut_all(path, digests.of).chunks
        digests.save()
        assert not seen & {chunk.id for chunk in chunks}
        seen |= {chunk.id for chunk in chunks}


def test_a_file_that_stays_as_it_is_is_read_for_its_digest_once(tmp_path, monkeypatch):
    path = write(tmp_path / "h.parquet")
    later, read = path.stat().st_ctime + 10, []
    monkeypatch.setattr(digests_module, "content_digest", lambda path: read.append(path) or content_digest(path))
    for is_read in (True, False, False):
        digests = Digests(tmp_path / "_files.json", clock=lambda: later)
        assert digests.of(path) == content_digest(path)
        digests.save()
        assert bool(read) is is_read
        read.clear()
    path.chmod(0o600)  # its content stays, and only reading it tells
    assert Digests(tmp_path / "_files.json", clock=lambda: later).of(path) == content_digest(path)
    assert read == [path]


def test_a_file_that_was_changed_just_now_is_read_again_for_it_may_have_changed_unseen(tmp_path, monkeypatch):
    path, read = write(tmp_path / "h.parquet"), []
    monkeypatch.setattr(digests_module, "content_digest", lambda path: read.append(path) or "0")
    for _ in range(2):
        digests = Digests(tmp_path / "_files.json", clock=lambda: path.stat().st_ctime + 1)
        digests.of(path)
        digests.save()
    assert len(read) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"files": [1]}', b'{"files": {"a": 1}}'])
def test_a_note_that_is_none_is_begun_anew(tmp_path, damage):
    path = write(tmp_path / "h.parquet")
    (tmp_path / "_files.json").write_bytes(damage)
    digests = Digests(tmp_path / "_files.json", clock=lambda: path.stat().st_ctime + 10)
    assert digests.of(path) == content_digest(path)
    digests.save()
    assert str(path) in json.loads((tmp_path / "_files.json").read_text())["files"]


def test_links_and_all_names_of_parquet_are_taken_and_what_is_left_out_is_told(tmp_path):
    history, elsewhere = tmp_path / "history", tmp_path / "elsewhere"
    for number, name in enumerate(["h.parquet", "part.pq", "PART.PARQUET", "deep/part-00000", "x.PQ"]):
        write(history / name, 100 * number)
    for number in (10, 11):
        write(elsewhere / f"{number}.parquet", 100 * number)
    write(history / "_temporary" / "0.parquet", 5_000)
    (history / "_SUCCESS").touch()
    (history / "notes.txt").write_text("no history")
    (history / "a").symlink_to(elsewhere)
    (history / "again").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(history)
    (history / "gone.parquet").symlink_to(tmp_path / "nothing")
    (history / "linked.parquet").symlink_to(history / "h.parquet")
    os.mkfifo(history / "pipe.parquet")
    found = find_files(history)
    assert found.names == (
        "PART.PARQUET",
        "a/10.parquet",
        "a/11.parquet",
        "deep/part-00000",
        "h.parquet",
        "linked.parquet",
        "part.pq",
        "x.PQ",
    )
    assert found.left_out == (
        "1 links that lead nowhere (gone.parquet)",
        "2 links to folders that are there already (a/loop, again)",
        "1 that are no Parquet (notes.txt)",
        "1 that are no files (pipe.parquet)",
        "1 whose names or folders begin with a dot or an underscore (_temporary/0.parquet)",
    )
    of_all = cut_all(history)
    assert sum(chunk.rows for chunk in of_all.chunks) == 7 * ROWS
    assert of_all.left_out[-1] == "1 of the same content as another"


def test_arrow_takes_no_file_that_is_left_out_but_those_that_it_cannot_read(tmp_path):
    for name in ("a.parquet", "b.pq", "c", "D.PARQUET", "sub/e.parquet", "_hidden/f.parquet", ".g.parquet"):
        write(tmp_path / name)
    taken = {str(path).removeprefix(f"{tmp_path}/") for path in pa.dataset.dataset(tmp_path).files}
    assert set(find_files(tmp_path).names) == taken


def test_a_file_is_the_same_history_under_another_name(tmp_path):
    before = cut_all(write(tmp_path / "a.parquet")).chunks
    (tmp_path / "a.parquet").rename(tmp_path / "b.parquet")
    assert [chunk.id for chunk in cut_all(tmp_path).chunks] == [chunk.id for chunk in before]


@pytest.mark.parametrize("column", ["site", "other"])
def test_an_id_that_only_the_path_holds_is_refused_with_a_word_of_it(tmp_path, column):
    path = tmp_path / f"{column}=s0" / "year=2026" / "h.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(windows().drop_columns(["series"]), path)
    with pytest.raises(Refused, match=r"series\.site: expected strings, found nothing") as refused:
        cut_all(tmp_path)
    said = "its path has site=s0, but no value is read from a path: write the column into the files, in the struct"
    assert (said in str(refused.value)) == (column == "site")


def test_the_files_that_can_be_used_are_and_the_others_have_a_line_each(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.parquet", 100 * number)
    (tmp_path / "1.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"end": [1]}), tmp_path / "2.parquet")
    found = cut_all(tmp_path)
    assert {chunk.path for chunk in found.chunks} == {"0.parquet"}
    assert {name: fault.split(":")[0] for name, fault in found.faults.items()} == {
        "1.parquet": f"{tmp_path}/1.parquet is no readable Parquet file",
        "2.parquet": f"{tmp_path}/2.parquet cannot hold windows for this artifact",
    }


def test_a_page_with_a_checksum_in_which_a_bit_flips_is_refused_by_the_files_name_and_the_next_file_is_read(tmp_path):
    """As Spark writes pages. Uncompressed, the numbers would be read as others."""
    path = write(tmp_path / "a.parquet", 1_000, compression="none", use_dictionary=False, write_page_checksum=True)
    write(tmp_path / "b.parquet")
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(1_002).tobytes()) + 5] ^= 1
    path.write_bytes(content)
    bad, *_, good = cut_all(tmp_path).chunks
    reader = ChunkReader(tmp_path, ["series", "end", "past"])
    for _ in range(2):
        with pytest.raises(FileFault, match=rf"{path} is damaged, or cannot be read: .*CRC"):
            reader.read(bad)
        assert reader.read(good).num_rows == good.rows


def test_a_copy_on_another_node_is_read_and_another_file_of_its_size_is_not(tmp_path):
    path = write(tmp_path / "one" / "h.parquet", compression="none")
    first, second = cut_all(path).chunks
    shutil.copy(path, write(tmp_path / "two" / "h.parquet"))
    reader = ChunkReader(tmp_path / "two", ["end"])
    assert reader.read(first)["end"].to_pylist() == [0, 1, 2, 3]
    write(tmp_path / "two" / "h.parquet", 50, compression="none")
    assert (tmp_path / "two" / "h.parquet").stat().st_size == path.stat().st_size
    with pytest.raises(FileFault, match="was changed since it was looked at when this began: start it again"):
        reader.read(second)
    (tmp_path / "two" / "h.parquet").unlink()
    with pytest.raises(FileFault, match="No such file"):
        reader.read(second)


class TestWhatEarlierVersionsDid:
    """Their parts are named by the file's name, size and footer."""

    @pytest.fixture
    def history(self, tmp_path):
        return write(tmp_path / "history" / "h.parquet").parent

    @pytest.fixture
    def look(self, tmp_path, history):
        job = tmp_path / "job"
        job.mkdir()

        def look(*, made_at=None):
            digests = Digests(job / "_files.json", clock=lambda: (history / "h.parquet").stat().st_ctime + 10)
            chunks = cut_all(history, digests.of).chunks
            for chunk in chunks if made_at else ():
                rows = EmbeddingBatch(
                    space=SPACE,
                    series={"site": np.full(chunk.rows, "s0", object)},
                    event_us=np.arange(chunk.rows),
                    created_us=np.full(chunk.rows, round(made_at * 1e6)),
                    features={"mean": np.zeros((chunk.rows, 1), np.float32)},
                )
                (job / f"{chunk.old_id}.parquet").write_bytes(encode_part(rows, VIEW, metadata={}))
            done = find_done(chunks, job, history, digests)
            digests.save()
            return len(done.parts), done.said

        return look

    def test_it_is_done_where_the_file_has_not_changed_since_and_stays_so_when_it_is_touched_later(self, history, look):
        path = history / "h.parquet"
        assert look(made_at=path.stat().st_ctime + 5) == (2, ())
        path.chmod(0o600)
        assert look() == (2, ())
        write(path, 1)
        assert look()[0] == 0

    def test_it_is_done_again_and_said_where_the_file_has_changed_since(self, history, look):
        done, said = look(made_at=(history / "h.parquet").stat().st_ctime - 5)
        assert done == 0
        assert "1 file embedded by an earlier version, and changed since or copied" in said[0]
        assert "embedded again (h.parquet)" in said[0]

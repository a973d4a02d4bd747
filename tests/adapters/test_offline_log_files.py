"""The offline log in a folder: what the files hold, and what a crash, a full disk or a strange topic does to them."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertow.adapters.offline_chains import Chain, chains
from undertow.adapters.offline_files import ABANDONED_S, TEMPORARY
from undertow.adapters.offline_log import FileOfflineLog, latest_in, require_topic
from undertow.adapters.offline_parts import encode_part, read_footer, read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch, offline_schema
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart

SPACE = "5" * 64
VIEW = SpaceView(
    name="wearers",
    space=SPACE,
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="channel", type="integer")),
    features=(("encoder", 3), ("decoder", 2)),
)
P0, P1 = Partition("windows", 0), Partition("windows", 1)
CREATED = 1_767_225_600_250_000


def open_log(root, clock, **changes):
    claim_folder(root, VIEW)
    return FileOfflineLog(
        root, VIEW, **{"cluster_id": "cluster", "topic_id": "topic", "writer": "test", "clock": clock, **changes}
    )


def part(first, after, *, partition=P0, rows=None, lost=0):
    offsets = np.arange(first, after)[:rows]
    n = len(offsets)
    return ChainPart(
        partition=partition,
        first=first,
        next=after,
        lost=lost,
        offsets=offsets,
        embeddings=EmbeddingBatch(
            space=SPACE,
            series={
                "wearer": np.array([f"s{offset % 3}" for offset in offsets], object),
                "channel": offsets % 2,
            },
            event_us=offsets * 1_000_000,
            created_us=CREATED + offsets,
            features={
                "encoder": np.arange(3 * n, dtype=np.float32).reshape(n, 3) + np.float32(first),
                "decoder": np.full((n, 2), 0.5, np.float32),
            },
        ),
    )


def folder_of(root, partition=P0):
    return root / VIEW.view / partition.topic / str(partition.index)


def names(root):
    return sorted(path.name for path in folder_of(root).iterdir())


def test_a_part_holds_every_row_with_its_origin_in_the_schema_that_feast_reads(tmp_path, memory_clock):
    open_log(tmp_path, memory_clock).publish(part(7, 10))
    table = read_rows(tmp_path / VIEW.view)
    assert table.schema == offline_schema({"wearer": "string", "channel": "integer"}, ["encoder", "decoder"])
    assert table.drop_columns(["event_timestamp", "created"]).to_pylist() == [
        {
            "wearer": f"s{offset % 3}",
            "channel": offset % 2,
            "encoder": [7.0 + 3 * n, 8.0 + 3 * n, 9.0 + 3 * n],
            "decoder": [0.5, 0.5],
            "space": SPACE,
            "origin_partition": 0,
            "origin_offset": offset,
        }
        for n, offset in enumerate((7, 8, 9))
    ]
    assert table["event_timestamp"].cast(pa.int64()).to_pylist() == [7_000_000, 8_000_000, 9_000_000]
    assert table["created"].cast(pa.int64()).to_pylist() == [CREATED + 7, CREATED + 8, CREATED + 9]


def test_the_footer_says_where_the_part_belongs(tmp_path, memory_clock):
    open_log(tmp_path, memory_clock).publish(part(7, 10, lost=2))
    footer = read_footer(next(folder_of(tmp_path).iterdir()))
    assert (footer.partition, footer.first, footer.next, footer.lost) == (P0, 7, 10, 2)
    assert (footer.space, footer.cluster_id, footer.topic_id, footer.writer) == (SPACE, "cluster", "topic", "test")


def test_a_chain_of_an_earlier_version_ends_with_the_greatest_created_of_its_rows(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(7, 10))
    log.publish(part(10, 12, rows=0))
    for path in folder_of(tmp_path).iterdir():
        table = pq.read_table(path)
        metadata = {key: value for key, value in table.schema.metadata.items() if key != b"undertow.created_us"}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    again = open_log(tmp_path, memory_clock)
    assert (again.end(P0), again.latest(P0)) == (12, CREATED + 9)
    assert latest_in(tmp_path / VIEW.view) == CREATED + 9


def test_the_latest_of_a_whole_log_is_that_of_all_chains_and_backfills(tmp_path, memory_clock):
    home = tmp_path / VIEW.view
    log = open_log(tmp_path, memory_clock)
    assert latest_in(home) == 0
    log.publish(part(7, 10))
    log.publish(replace(part(10, 12), created_us=CREATED + 500))
    log.publish(part(0, 3, partition=P1))
    assert latest_in(home) == CREATED + 500
    (home / "@backfill" / "job").mkdir(parents=True)
    for name, first in (("aa", 1_000), ("11", 900)):  # chunks' names are hexadecimal, and in no order
        content = encode_part(part(first, first + 2).embeddings, VIEW, metadata={})
        (home / "@backfill" / "job" / f"{name}.parquet").write_bytes(content)
    assert latest_in(home) == CREATED + 1_001


def test_the_first_part_of_a_chain_is_named_0_and_each_other_by_where_it_begins(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(7, 10))
    log.publish(part(10, 12))
    assert names(tmp_path) == [f"{0:020d}.parquet", f"{10:020d}.parquet"]


def test_duckdb_reads_parts_of_all_partitions_as_one_table_and_ignores_leftovers(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(0, 4))
    log.publish(part(4, 6, rows=0))
    log.publish(part(5, 8, partition=P1))
    (folder_of(tmp_path) / f".junk{TEMPORARY}").write_bytes(b"half a file")
    files = duckdb.read_parquet(f"{tmp_path / VIEW.view}/**/*.parquet")
    found = files.project("wearer, origin_partition, origin_offset").fetchall()
    assert sorted(found) == sorted([(f"s{n % 3}", 0, n) for n in range(4)] + [(f"s{n % 3}", 1, n) for n in range(5, 8)])
    # This is how Feast learns the schema of a folder.
    assert pq.ParquetDataset(tmp_path / VIEW.view).schema.equals(read_rows(tmp_path / VIEW.view).schema)


def test_chains_are_summed_up_by_their_footers(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(3, 5))
    log.publish(part(5, 30, rows=2, lost=20))
    log.publish(part(0, 1, partition=P1))
    assert chains(tmp_path / VIEW.view) == (
        Chain(folder="windows/0", parts=2, first=3, next=30, lost=20),
        Chain(folder="windows/1", parts=1, first=0, next=1, lost=0),
    )


@pytest.mark.parametrize("change", [{"topic_id": "anew"}, {"cluster_id": "other"}])
def test_the_chain_of_a_topic_made_anew_is_refused_with_the_way_out(tmp_path, memory_clock, change):
    open_log(tmp_path, memory_clock).publish(part(0, 5))
    anew = open_log(tmp_path, memory_clock, **change)
    with pytest.raises(Refused, match="made anew") as refused:
        anew.end(P0)
    source, target = str(refused.value).rpartition("mv ")[2].split()
    Path(source).rename(target)
    assert anew.end(P0) is None
    anew.publish(part(0, 3))
    assert read_rows(tmp_path / VIEW.view).num_rows == 8
    assert [chain.folder for chain in chains(tmp_path / VIEW.view)] == ["windows/0", "windows@topic/0"]


def test_a_partition_without_a_chain_begins_none_beside_those_of_a_topic_that_was_made_anew(tmp_path, memory_clock):
    open_log(tmp_path, memory_clock).publish(part(0, 5))
    anew = open_log(tmp_path, memory_clock, topic_id="anew")
    with pytest.raises(Refused, match=r"offline log of windows-0 .* made anew") as refused:
        anew.publish(part(0, 2, partition=P1))  # else it would be moved away together with the old topic's chains
    source, target = str(refused.value).rpartition("mv ")[2].split()
    Path(source).rename(target)
    anew.publish(part(0, 2, partition=P1))
    assert anew.end(P0) is None
    assert [chain.folder for chain in chains(tmp_path / VIEW.view)] == ["windows/1", "windows@topic/0"]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"PAR1" * 9])
def test_a_damaged_part_is_refused_by_name(tmp_path, memory_clock, damage):
    open_log(tmp_path, memory_clock).publish(part(0, 5))
    path = next(folder_of(tmp_path).iterdir())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Refused, match=f"{path.name} is damaged"):
        open_log(tmp_path, memory_clock).end(P0)


def test_a_file_of_somebody_else_is_refused_by_name(tmp_path, memory_clock):
    folder_of(tmp_path).mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), folder_of(tmp_path) / f"{9:020d}.parquet")
    with pytest.raises(Refused, match=r"9\.parquet is of another program"):
        open_log(tmp_path, memory_clock).end(P0)


def test_a_gap_before_a_part_is_a_bug_of_the_caller(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(0, 5))
    with pytest.raises(ValueError, match="ends at 5; a part that begins at 6 leaves a gap"):
        log.publish(part(6, 7))
    with pytest.raises(ValueError, match="must move its chain"):
        log.publish(part(5, 5))


def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(0, 5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))  # the file may grow no further: the write fails midway
    try:
        with pytest.raises(Unavailable, match="could not be written"):
            log.publish(part(5, 900))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == [f"{0:020d}.parquet"]
    log.publish(part(5, 900))
    assert log.end(P0) == 900


def test_a_folder_that_cannot_be_a_folder_is_unavailable(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    folder_of(tmp_path).parent.write_text("a file where the topic's folder should be")
    with pytest.raises(Unavailable, match="Not a directory"):
        log.publish(part(0, 5))


KILLED = """
import os, signal, sys
from pathlib import Path
from undertow.adapters.offline_files import publish
os.link = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
publish(Path(sys.argv[1]), b"half of the story", within=Path(sys.argv[1]).parent)
"""


def test_a_writer_killed_before_its_link_leaves_the_chain_as_it_was(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(0, 5))
    target = folder_of(tmp_path) / f"{5:020d}.parquet"
    died = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    temporary = [name for name in names(tmp_path) if name.endswith(TEMPORARY)]
    assert len(temporary) == 1
    successor = open_log(tmp_path, memory_clock)
    assert successor.end(P0) == 5
    successor.publish(part(5, 8))
    assert [chain.next for chain in chains(tmp_path / VIEW.view)] == [8]
    assert read_rows(tmp_path / VIEW.view)["origin_offset"].to_pylist() == list(range(8))


def test_a_chain_whose_folder_cannot_be_read_now_is_tried_again_and_never_taken_for_none(tmp_path, memory_clock):
    open_log(tmp_path, memory_clock).publish(part(0, 5))
    folder, aside = folder_of(tmp_path), tmp_path / "aside"
    folder.rename(aside)
    folder.symlink_to(folder)  # a loop: as a mount that is away, it is neither there nor gone
    with pytest.raises(Unavailable, match="could not be read"):
        open_log(tmp_path, memory_clock).end(P0)
    folder.unlink()
    aside.rename(folder)
    assert open_log(tmp_path, memory_clock).end(P0) == 5


def test_only_abandoned_temporary_files_are_swept(tmp_path, memory_clock):
    log = open_log(tmp_path, memory_clock)
    log.publish(part(0, 5))
    old, young = (folder_of(tmp_path) / f".{name}{TEMPORARY}" for name in ("old", "young"))
    for path, age in ((old, ABANDONED_S + 1), (young, ABANDONED_S - 1)):
        path.write_bytes(b"")
        os.utime(path, (memory_clock() - age, memory_clock() - age))
    os.utime(folder_of(tmp_path) / f"{0:020d}.parquet", (0, 0))
    assert log.end(P0) == 5
    assert names(tmp_path) == [young.name, f"{0:020d}.parquet"]


def test_a_space_without_parts_says_how_to_get_some(tmp_path):
    with pytest.raises(Refused, match="undertow run"):
        read_rows(tmp_path / VIEW.view)
    assert chains(tmp_path / VIEW.view) == ()


def test_whether_chains_are_of_todays_topic_can_be_asked_without_a_change(tmp_path, memory_clock):
    open_log(tmp_path, memory_clock).publish(part(0, 3))
    home = tmp_path / VIEW.view
    before = names(tmp_path)
    require_topic(home, "windows", cluster_id="cluster", topic_id="topic")
    with pytest.raises(Refused, match=rf"mv {home}/windows {home}/windows@topic"):
        require_topic(home, "windows", cluster_id="cluster", topic_id="another")
    assert names(tmp_path) == before

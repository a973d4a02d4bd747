"""Bits that flip in a part: whoever reads the log refuses the file by its name, as does `undertow check --verify`."""

import random

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.adapters.offline_history import whole_parts
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import is_intact, read_footer, read_part, read_rows, require_intact
from undertow.adapters.offline_root import claim_folder
from undertow.adapters.offline_seal import MARK, seal
from undertow.adapters.offline_verify import verify
from undertow.core.errors import Refused
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart

SPACE = "5" * 64
VIEW = SpaceView(name="pumps", space=SPACE, series=(IdColumn(name="site", type="string"),), features=(("hidden", 8),))
P0 = Partition("windows", 0)
ROWS = 50


def part(first):
    offsets = np.arange(first, first + ROWS)
    batch = EmbeddingBatch(
        space=SPACE,
        series={"site": np.array([f"s{offset % 7}" for offset in offsets], object)},
        event_us=offsets,
        created_us=offsets,
        features={"hidden": np.random.default_rng(first).normal(size=(ROWS, 8)).astype(np.float32)},
    )
    return ChainPart(partition=P0, first=first, next=first + ROWS, embeddings=batch, offsets=offsets)


def open_log(root):
    return FileOfflineLog(root, VIEW, cluster_id="c", topic_id="t", writer="test", clock=lambda: 1e9)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("log")
    claim_folder(root, VIEW)
    log = open_log(root)
    for first in (0, ROWS):
        log.publish(part(first))
    return root


@pytest.fixture(scope="module")
def last(root):
    """The part that the chain ends with: its path, and what it must be."""
    path = root / VIEW.view / "windows" / "0" / f"{ROWS:020d}.parquet"
    return path, path.read_bytes()


def flipped(content, bit):
    content = bytearray(content)
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def test_each_of_300_flips_is_refused_by_the_files_name_whatever_reads_it(root, last):
    path, content = last
    home = root / VIEW.view
    for bit in random.Random(7).sample(range(8 * len(content)), 300):
        path.write_bytes(flipped(content, bit))
        for read in (
            is_intact,
            lambda _: require_intact(whole_parts(home)),
            lambda _: read_rows(home),
            lambda _: open_log(root).end(P0),
        ):
            with pytest.raises(Refused, match=rf"{path.name} is damaged"):
                read(path)
    path.write_bytes(content)
    assert read_rows(home).num_rows == 2 * ROWS


def test_a_damaged_part_of_a_chain_is_not_told_to_be_embedded_by_a_backfill(root, last):
    path, content = last
    path.write_bytes(flipped(content, 1000))
    with pytest.raises(Refused, match=r"its records are then read again; .* undertow apply --accept-lost") as told:
        require_intact(whole_parts(root / VIEW.view))
    assert "backfill" not in str(told.value)
    path.write_bytes(content)


@given(data=st.data())
def test_whatever_bit_flips_the_part_is_refused_and_a_footer_is_never_read_as_another(last, data):
    path, content = last
    damaged = path.with_name("damaged")
    damaged.write_bytes(flipped(content, data.draw(st.integers(0, 8 * len(content) - 1))))
    with pytest.raises(Refused, match="is damaged"):
        is_intact(damaged)
    try:
        said = read_footer(damaged)
    except Refused:
        return
    assert said == read_footer(path)


def test_a_longer_stretch_of_zeros_is_refused_too(last):
    path, content = last
    damaged = path.with_name("damaged")
    mark = content.rindex(MARK)
    for first, after in ((mark - 40, mark + 40), (100, 612), (mark - 9, mark + 9), (mark + 10, mark + 30)):
        damaged.write_bytes(content[:first] + bytes(after - first) + content[after:])
        with pytest.raises(Refused, match="is damaged"):
            read_part(damaged, ["site", "hidden"])


def test_a_copy_by_another_writer_has_no_seal_and_is_read(last, tmp_path):
    path, content = last
    pq.write_table(pq.read_table(path), tmp_path / "copy.parquet")  # which keeps our metadata
    assert not is_intact(tmp_path / "copy.parquet")
    assert read_footer(tmp_path / "copy.parquet") == read_footer(path)
    assert MARK in content


def test_readers_of_parquet_find_in_a_sealed_file_what_they_find_without_the_seal(last, tmp_path):
    path, content = last
    mark = content.rindex(MARK)
    (plain := tmp_path / "plain.parquet").write_bytes(content[:mark] + content[mark + len(MARK) + 8 :])
    assert pq.read_table(path, page_checksum_verification=True).equals(pq.read_table(plain))
    assert duckdb.read_parquet(str(path)).fetchall() == duckdb.read_parquet(str(plain)).fetchall()
    assert seal(plain.read_bytes()) == content
    assert not is_intact(plain)


def test_the_whole_log_is_read_and_each_damaged_file_named(tmp_path):
    claim_folder(tmp_path, VIEW)
    log = open_log(tmp_path)
    for first in range(0, 5 * ROWS, ROWS):
        log.publish(part(first))
    folder = tmp_path / VIEW.view / "windows" / "0"
    paths = sorted(folder.iterdir())
    assert (verify(tmp_path).files, verify(tmp_path).faults) == (5, ())
    for path, bit in ((paths[1], 4_000), (paths[3], 8 * paths[3].stat().st_size - 900)):
        path.write_bytes(flipped(path.read_bytes(), bit))
    pq.write_table(pq.read_table(paths[2]), paths[2])  # as an earlier version did
    found = verify(tmp_path)
    assert [path.name for path in paths if any(f"{path} is damaged" in fault for fault in found.faults)] == [
        paths[1].name,
        paths[3].name,
    ]
    assert "5 files of " in str(found)
    assert "1 of them were written by an earlier version, without checksums" in str(found)

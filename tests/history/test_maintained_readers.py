"""A log with a table, as it is read: by us and by stock Feast, beside a maintainer, and from copies that do not fit."""

import shutil

import duckdb
import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable

from tests.feature_repo.stock import copy_of_repo
from tests.fleet import quick_feast
from tests.history.fold_world import BEGIN_US, GRACE_S, P0, P1, VIEW, World, places_in, upto
from undertow.adapters import feast_repo, offline_parts
from undertow.adapters.feast_store import open_store
from undertow.adapters.offline_chains import BEGUN, require_whole
from undertow.adapters.offline_history import table_files, whole_parts, with_parts
from undertow.adapters.offline_verify import verify
from undertow.core.errors import Refused, Unavailable
from undertow.history.join import join
from undertow.settings.sections import FeastSettings
from undertow.wiring.restoring import newest_rows


@pytest.fixture
def world(tmp_path, memory_clock):
    world = World(tmp_path, memory_clock)
    for _ in range(4):
        world.publish(P0, 2)
        world.publish(P1, 3)
    return world


def test_a_reader_whose_files_vanish_begins_again_and_reads_every_row_once(world):
    world.maintain()
    calls = []

    def read(files):
        calls.append(len(files))
        if len(calls) == 1:  # the listing is old when it is read
            world.publish(P0, 2)
            world.maintain()
            world.clock.advance(GRACE_S)
            world.maintain()
        return places_in(files)

    assert with_parts(world.home, read) == upto(10, 12)
    assert len(calls) == 2


def test_a_part_that_is_deleted_between_the_look_at_its_seal_and_its_rows_is_read_and_later_gone_not_damaged(
    world, monkeypatch
):
    look, path = offline_parts.is_sealed, world.home / "windows/0" / world.parts()[0]

    def look_and_delete(file):
        is_sealed = look(file)
        path.unlink()
        return is_sealed

    monkeypatch.setattr(offline_parts, "is_sealed", look_and_delete)
    assert len(offline_parts.read_part(path, ["site"])) == 2
    with pytest.raises(Unavailable, match="it will be tried again"):
        offline_parts.read_part(path, ["site"])


def test_an_error_that_has_nothing_to_do_with_vanished_files_is_raised_at_once(world):
    calls = []

    def read(files):
        calls.append(files)
        message = "no"
        raise Refused(message)

    with pytest.raises(Refused, match="no"):
        with_parts(world.home, read)
    assert len(calls) == 1


def test_chain_and_table_of_different_copies_are_refused_rather_than_read_with_rows_missing(world, tmp_path):
    world.maintain()
    table = world.home / "@table"
    table.rename(tmp_path / "aside")
    with pytest.raises(Refused, match=r"the table of history .* lacks what was folded into it"):
        world.places()
    with pytest.raises(Refused, match=r"log is in .*@delta.*, but .*@table is gone: restore both from the same copy"):
        world.maintain()
    shutil.rmtree(world.root / "@delta")
    faults = world.maintain().faults
    assert ["to have windows/" in fault and "nothing of it" in fault for fault in faults] == [True, True]
    assert len(world.parts(P0)) == 4


def test_a_chain_of_an_older_copy_than_the_table_is_refused(world):
    world.maintain()
    for partition in (P0, P1):
        folder = world.home / "windows" / str(partition.index)
        names = world.parts(partition)
        (folder / names[-1]).unlink()  # the copy was made two parts earlier, before anything was noted
        (folder / names[-2]).unlink()
        for note in (folder / "_folded").glob("0*.json"):
            note.unlink()
    with pytest.raises(Refused, match="do not fit"):
        world.places()
    assert ["restored from different copies" in fault for fault in world.maintain().faults] == [True, True]


def test_a_chain_that_is_begun_anew_in_the_same_folder_is_another_one_for_the_table(world, tmp_path):
    world.maintain()
    (world.home / "windows/0").rename(tmp_path / "aside")
    for note in (world.home / BEGUN).rglob("*.0.begun"):
        note.unlink()
    world.log = world.owner()
    for _ in range(3):
        world.publish(P0, 2)
    assert world.places() == sorted([*upto(6, 12), *upto(6)])  # folded ones stay, and are there again
    world.maintain()
    assert world.places() == sorted([*upto(6, 12), *upto(6)])


def test_join_and_verify_find_in_table_and_tail_what_they_found_in_parts(world, tmp_path):
    asked = pd.DataFrame({"site": [f"s{n % 3}" for n in range(12)]})
    asked["event_timestamp"] = pd.to_datetime(BEGIN_US + np.arange(12) * 1_000_000, unit="us", utc=True)
    asked.to_parquet(tmp_path / "asked.parquet")

    def joined():
        join(tmp_path / "asked.parquet", tmp_path / "out.parquet", log=world.home, view=VIEW, read_memory_bytes=1 << 28)
        return pd.read_parquet(tmp_path / "out.parquet")

    world.backfill(6, 12)
    before = joined()
    assert before["found"].all()
    world.maintain()
    pd.testing.assert_frame_equal(joined(), before)
    world.clock.advance(GRACE_S)
    world.maintain()
    pd.testing.assert_frame_equal(joined(), before)
    assert verify(world.root).faults == ()
    (path, *_) = table_files(world.home)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (fault,) = verify(world.root).faults
    assert path.name in fault


def test_the_folder_as_feast_reads_it_has_each_row_of_the_table_and_its_parts_and_nothing_of_deltas_own_log(world):
    world.maintain()
    DeltaTable(world.home / "@table").create_checkpoint()  # as Delta Lake does after some commits: it is Parquet too
    assert [*(world.root / "@delta" / VIEW.view).glob("*.checkpoint.parquet")]
    seen = duckdb.read_parquet(str(world.home)).project("origin_partition, origin_offset").distinct()
    assert sorted(seen.fetchall()) == upto(8, 12)


def test_a_store_that_was_lost_is_filled_from_table_and_tail_as_from_parts(world):
    def newest():
        with newest_rows(whole_parts(world.home), VIEW, read_memory_bytes=1 << 28) as found:
            rows = [
                (site, event_us, created_us, tuple(vector))
                for batch in found.batches
                for site, event_us, created_us, vector in zip(
                    batch.series["site"], batch.event_us, batch.created_us, batch.features["hidden"], strict=True
                )
            ]
            return found.series, sorted(rows)

    before = newest()
    assert before[0] == len(before[1]) == 3
    for _ in range(2):
        world.maintain()
        assert newest() == before
        world.clock.advance(GRACE_S)


def test_stock_feast_joins_the_same_before_during_and_after_the_grace_time(world, tmp_path):
    feast = FeastSettings(repo=copy_of_repo(tmp_path / "feast"))
    feast_repo.register(feast.repo, VIEW, world.home, promote=True)
    quick_feast.apply(feast, {VIEW.view: True})
    asked = pd.DataFrame({"site": [f"s{n % 3}" for n in range(15)] + ["nobody"]})
    asked["event_timestamp"] = pd.to_datetime(BEGIN_US + np.arange(16) * 1_000_000, unit="us", utc=True)
    store = open_store(feast)

    def joined():
        found = store.get_historical_features(asked, store.get_feature_service(VIEW.name)).to_df()
        return found.sort_values(["event_timestamp", "site"], ignore_index=True)

    world.backfill(12, 15)
    before = joined()
    assert before["hidden"].notna().sum() == 15
    world.maintain()
    assert (len(world.parts(P0)), len(world.chunks())) == (4, 1)  # each folded row is there twice
    pd.testing.assert_frame_equal(joined(), before)
    world.clock.advance(GRACE_S)
    world.maintain()
    assert (len(world.parts(P0)), world.chunks()) == (1, [])
    pd.testing.assert_frame_equal(joined(), before)


def test_a_log_that_nobody_maintains_has_no_table_and_no_note(world):
    assert require_whole(world.home)
    assert whole_parts(world.home)
    assert not [*world.root.rglob("@table"), *world.root.rglob("@delta"), *world.root.rglob("_folded")]

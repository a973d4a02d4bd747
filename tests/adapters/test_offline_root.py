"""Whose folder is whose in the offline log, whether an earlier version made it or not; and whether all see one log."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from undertow.adapters import feast_repo
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import VIEW_NOTE, LogIdentity, claim_folder, make_log, read_nonce, view_folder
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart

SPACE = "5" * 64
SITE, STATION = IdColumn(name="site", type="string"), IdColumn(name="station", type="string")
PUMPS = SpaceView(name="pumps", space=SPACE, series=(SITE,), features=(("hidden", 2),))
REPACKED = replace(PUMPS, name="other")
OTHER_IDS = replace(PUMPS, series=(SITE, STATION))
P0 = Partition("windows", 0)


def open_log(root, view):
    return FileOfflineLog(root, view, cluster_id="c", topic_id="t", writer="test", clock=lambda: 1e9)


def part(first, after):
    n = after - first
    batch = EmbeddingBatch(
        space=SPACE,
        series={"site": np.full(n, "s0", object)},
        event_us=np.arange(first, after),
        created_us=np.arange(first, after),
        features={"hidden": np.zeros((n, 2), np.float32)},
    )
    return ChainPart(partition=P0, first=first, next=after, embeddings=batch, offsets=np.arange(first, after))


@pytest.fixture
def old(tmp_path):
    """A log as an earlier version wrote it for `pumps`: no notes, and a folder that is named by the space alone."""
    home = claim_folder(tmp_path / "log", PUMPS)
    open_log(tmp_path / "log", PUMPS).publish(part(0, 3))
    (home / VIEW_NOTE).unlink()
    return home.rename(tmp_path / "log" / SPACE)


def as_registered(repo, view, folder, *, is_relative=False):
    """What an earlier version left in Feast's repository; relative where `offline.path` was."""
    path = feast_repo.register(repo, view, folder)
    data = json.loads(path.read_text())
    del data["log"]
    if is_relative:
        data["offline"] = os.path.relpath(folder, repo)
    path.write_text(json.dumps(data))
    return feast_repo.registered_views(repo)


def test_two_names_of_one_space_have_chains_of_their_own(tmp_path):
    for view in (PUMPS, REPACKED):
        claim_folder(tmp_path, view)
    open_log(tmp_path, PUMPS).publish(part(0, 3))
    assert open_log(tmp_path, REPACKED).end(P0) is None
    open_log(tmp_path, REPACKED).publish(part(0, 5))
    assert [len(read_rows(view_folder(tmp_path, view))) for view in (PUMPS, REPACKED)] == [3, 5]


@pytest.mark.parametrize("other", [OTHER_IDS, replace(PUMPS, series=(replace(SITE, type="integer"),))])
def test_the_same_name_with_other_ids_is_refused_with_what_to_do(tmp_path, other):
    claim_folder(tmp_path, PUMPS)
    for act in (claim_folder, open_log):
        with pytest.raises(Refused, match=r"knows pumps__55555555 with the ids site:string, .* --name"):
            act(tmp_path, other)
    with pytest.raises(Refused, match=r"of the space 5{64}, and this artifact is of 5{63}6"):
        claim_folder(tmp_path, replace(PUMPS, space="5" * 63 + "6"))


def test_the_order_of_the_ids_does_not_matter(tmp_path):
    claim_folder(tmp_path, OTHER_IDS)
    claim_folder(tmp_path, replace(OTHER_IDS, series=(STATION, SITE)))


def test_a_folder_of_an_earlier_version_goes_on_unchanged(tmp_path, old):
    known = as_registered(tmp_path / "repo", PUMPS, old)
    assert claim_folder(tmp_path / "log", PUMPS, registered=known) == old
    assert open_log(tmp_path / "log", PUMPS).end(P0) == 3
    open_log(tmp_path / "log", PUMPS).publish(part(3, 5))
    assert len(read_rows(old)) == 5
    assert claim_folder(tmp_path / "log", REPACKED, registered=known) == tmp_path / "log" / REPACKED.view
    assert open_log(tmp_path / "log", REPACKED).end(P0) is None
    with pytest.raises(Refused, match="Feast's repository knows pumps__55555555 with the ids site:string"):
        claim_folder(tmp_path / "log", OTHER_IDS, registered=known)


@pytest.mark.parametrize("is_relative", [False, True])
def test_a_folder_of_an_earlier_version_waits_for_the_name_that_it_is_registered_for(tmp_path, old, is_relative):
    known = as_registered(tmp_path / "repo", PUMPS, old, is_relative=is_relative)
    assert claim_folder(tmp_path / "log", REPACKED, registered=known) != old
    assert claim_folder(tmp_path / "log", PUMPS, registered=known) == old


def test_a_folder_of_an_earlier_version_that_nobody_registered_goes_to_the_first_with_its_columns(tmp_path, old):
    assert claim_folder(tmp_path / "log", OTHER_IDS) == tmp_path / "log" / OTHER_IDS.view
    assert claim_folder(tmp_path / "log", REPACKED) == old
    assert open_log(tmp_path / "log", REPACKED).end(P0) == 3


def test_a_log_is_made_once_and_a_node_that_does_not_see_it_is_refused(tmp_path):
    log = make_log(tmp_path / "a" / "log")
    assert make_log(log.root) == log
    log.require()
    for elsewhere, seen in ((tmp_path / "b", "sees none there"), (make_log(tmp_path / "c").root, "sees another one")):
        with pytest.raises(Refused, match=f"{seen}.*offline.path must be one folder that all nodes share"):
            LogIdentity(root=elsewhere, nonce=log.nonce).require()
    assert not (tmp_path / "b").exists()


def test_a_log_whose_folder_is_gone_is_waited_for_and_nothing_is_made_in_its_place(tmp_path):
    root = tmp_path / "mount" / "log"
    claim_folder(root, PUMPS)
    log = open_log(root, PUMPS)
    log.publish(part(0, 3))
    root.rename(tmp_path / "elsewhere")
    for act in (lambda: log.publish(part(3, 5)), lambda: open_log(root, PUMPS).end(P0)):
        with pytest.raises(Unavailable, match="is gone: mount its disk again"):
            act()
    assert [*(tmp_path / "mount").iterdir()] == []
    (tmp_path / "elsewhere").rename(root)
    log.publish(part(3, 5))
    assert open_log(root, PUMPS).end(P0) == 5


def test_a_place_that_cannot_be_a_folder_is_refused_and_a_damaged_note_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Refused, match=r"cannot be made a folder .* offline\.path"):
        make_log(tmp_path / "file" / "log")
    home = claim_folder(tmp_path / "log", PUMPS)
    (home / VIEW_NOTE).write_text("{")
    with pytest.raises(Refused, match=r"_view\.json is damaged"):
        claim_folder(tmp_path / "log", PUMPS)
    shutil.rmtree(tmp_path / "log")
    assert read_nonce(tmp_path / "log") == ""

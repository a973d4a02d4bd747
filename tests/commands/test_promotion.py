"""What readers of a name will notice when they get another space, told before they do."""

from dataclasses import replace

import numpy as np
import pytest

from undertow.adapters.feast_registry import HeldView
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import claim_folder
from undertow.commands.promotion import compare_with_served
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart

SITE = (IdColumn(name="site", type="string"),)
OLD = SpaceView(name="pumps", space="a" * 64, series=SITE, features=(("f", 1),))
NEW = replace(OLD, space="b" * 64)
HOUR_US = 3_600_000_000


def write(root, view, hour):
    claim_folder(root, view)
    log = FileOfflineLog(root, view, cluster_id="c", topic_id="t", writer="test", clock=lambda: 1.8e9)
    batch = EmbeddingBatch(
        space=view.space,
        series={"site": np.array(["a", "b"], object)},
        event_us=np.array([0, hour]) * HOUR_US,
        created_us=np.array([1, 2]),
        features={"f": np.zeros((2, 1), np.float32)},
    )
    log.publish(ChainPart(partition=Partition("w", 0), first=0, next=2, lost=0, offsets=np.arange(2), embeddings=batch))


@pytest.fixture
def held():
    served = HeldView(series=SITE, space=OLD.space, log="", ttl_seconds=None, services=("pumps",), on_demand=())
    return {OLD.view: served}


def test_a_history_that_is_behind_is_told_with_both_times(tmp_path, held):
    write(tmp_path, OLD, 9)
    write(tmp_path, NEW, 4)
    (line,) = compare_with_served(NEW, held, tmp_path)
    assert "1970-01-01T04:00:00+00:00" in line
    assert "1970-01-01T09:00:00+00:00" in line


def test_one_that_has_caught_up_is_promoted_without_a_word(tmp_path, held):
    write(tmp_path, OLD, 9)
    write(tmp_path, NEW, 9)
    assert list(compare_with_served(NEW, held, tmp_path)) == []


def test_one_without_a_history_is_told(tmp_path, held):
    write(tmp_path, OLD, 9)
    (line,) = compare_with_served(NEW, held, tmp_path)
    assert "has no history here" in line


def test_other_ids_are_told_by_their_names(tmp_path, held):
    write(tmp_path, OLD, 9)
    other = replace(NEW, series=(IdColumn(name="lap", type="integer"),))
    first, *_ = compare_with_served(other, held, tmp_path)
    assert "is asked for by lap (integer), " in first
    assert "was by site (string): readers must send the new keys" in first


def test_where_nothing_else_is_served_nothing_is_told(tmp_path, held):
    assert list(compare_with_served(OLD, held, tmp_path)) == []
    assert list(compare_with_served(replace(NEW, name="others"), held, tmp_path)) == []

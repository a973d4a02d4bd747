"""The offline log is one folder for everybody who writes it: what is not that very log is refused, and nothing made."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import ray
from click.testing import CliRunner
from rich.console import Console

from tests.fleet import quick_feast
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import no_rows
from undertow.adapters.offline_root import LOG_NOTE, LogIdentity, make_log, read_nonce, view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.run import _open_tools
from undertow.backfill.run import run as run_backfill
from undertow.cli.main import main
from undertow.commands.apply import apply
from undertow.commands.check_nodes import NodeNeeds, look_on_nodes
from undertow.core.errors import Refused
from undertow.schemas.records import Partition
from undertow.stream.ports import ChainPart
from undertow.wiring import stores
from undertow.wiring.recipes import embed_recipes
from undertow.wiring.root import open_stream, stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


def changed(settings, section, **values):
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


def check(settings):
    options = [
        f"--set={section}.{key}={value}"
        for section, values in settings.model_dump(exclude_unset=True).items()
        for key, value in values.items()
    ]
    return CliRunner().invoke(main, ["check", *options])


def test_without_the_log_that_a_view_was_applied_with_nothing_starts_and_nothing_is_made(make_place, tmp_path):
    settings = make_place(partitions=1).settings
    root, aside = settings.offline.path, tmp_path / "unmounted"
    applied = read_nonce(root)
    root.rename(aside)
    for start in (stream_recipe, lambda settings: run_backfill(settings, tmp_path, Console(quiet=True))):
        with pytest.raises(Refused, match=rf"{root} \(offline.path\) the offline log {applied[:8]}, found none; .*"):
            start(settings)
    assert not root.exists()
    told = check(settings)
    assert (told.exit_code, f"the offline log {applied[:8]}, found none" in told.output) == (1, True)
    make_log(root)
    with pytest.raises(Refused, match=r"found another one .* to begin anew: undertow apply"):
        stream_recipe(settings)
    shutil.rmtree(root)
    aside.rename(root)
    assert stream_recipe(settings).artifacts[0].log == LogIdentity(root=root, nonce=applied)


def test_apply_makes_a_log_anew_where_it_is_gone_and_a_fleet_begins_with_it(make_place, monkeypatch):
    settings = make_place(partitions=1).settings
    shutil.rmtree(settings.offline.path)
    monkeypatch.setattr(stores, "apply", quick_feast.apply)
    told: list[str] = []
    apply(settings, say=told.append)
    assert re.search(r"pumps__.*: the offline log at .* is [0-9a-f]{8}, another than [0-9a-f]{8} that", "\n".join(told))
    recipe = stream_recipe(settings).artifacts[0]
    assert recipe.log.nonce == recipe.online.log == read_nonce(settings.offline.path)


def test_a_log_that_lacks_a_part_is_told_by_check_and_at_start_and_gone_on_with_on_purpose(make_place, monkeypatch):
    settings = make_place(partitions=1).settings
    view, root = read_manifest(settings.model.artifact).view(), settings.offline.path
    log = FileOfflineLog(root, view, cluster_id="c", topic_id="t", writer="", clock=lambda: 1e9)
    for first in (0, 3, 6):
        offsets = np.empty(0, np.int64)
        after = first + 3
        log.publish(
            ChainPart(
                partition=Partition("windows", 0), first=first, next=after, embeddings=no_rows(view), offsets=offsets
            )
        )
    told = check(settings)
    assert (told.exit_code, f"offline log: {root}, 1 chain of 3 parts, none missing" in told.output) == (0, True)
    (view_folder(root, view) / "windows" / "0" / f"{3:020d}.parquet").unlink()
    told = check(settings)
    assert (told.exit_code, "windows/0 lacks offsets 3 to 5" in told.output) == (1, True)
    with pytest.raises(Refused, match=r"lacks offsets 3 to 5 .* undertow apply --accept-lost"):
        stream_recipe(settings)
    monkeypatch.setattr(stores, "apply", quick_feast.apply)
    lines: list[str] = []
    apply(settings, accept_lost=True, say=lines.append)
    assert any("goes on without offsets 3 to 5" in line for line in lines)
    stream_recipe(settings)


def test_a_replica_and_an_actor_of_a_backfill_on_a_node_without_the_log_end_before_they_load_a_model(make_place):
    settings = make_place(partitions=1).settings
    recipe = stream_recipe(settings)
    (settings.offline.path / LOG_NOTE).unlink()  # as on a node where the path is a folder of its own
    for start in (lambda: open_stream(recipe, lambda: False), lambda: _open_tools(recipe.artifacts[0])):
        with pytest.raises(Refused, match=r"this node sees none there: offline.path must be one folder that all nodes"):
            start()


def test_sqlite_on_a_ray_that_is_joined_is_refused(make_place):
    settings = changed(make_place(online="sqlite", partitions=1).settings, "fleet", address="127.0.0.1:1")
    with pytest.raises(Refused, match=r"is SQLite, a file on one machine, .*feast\.config=feature_store\.redis\.yaml"):
        embed_recipes(settings)
    told = check(settings)
    assert told.exit_code == 1
    assert "failed  online store: the online store of feature_store.yaml is SQLite" in told.output


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_check_asks_each_node_of_a_joined_ray_what_it_sees(make_place, tmp_path):
    address = ray.get_runtime_context().gcs_address
    settings = changed(make_place(partitions=1).settings, "fleet", address=address)
    told = check(settings)
    assert (told.exit_code, told.exception and None) == (0, None), told.output
    assert f"ok      nodes: 1 at {address}, each sees the artifacts and the offline log: " in told.output

    manifest, log = read_manifest(settings.model.artifact), make_log(settings.offline.path)
    there = NodeNeeds(artifacts=((settings.model.artifact, manifest.space),), log=log)
    for expected, fault in (
        (replace(there, log=replace(log, nonce="f" * 32)), "this node sees another one"),
        (
            replace(there, artifacts=((tmp_path / "away", manifest.space),)),
            f"expected an artifact in {tmp_path / 'away'}",
        ),
        (replace(there, artifacts=((settings.model.artifact, "e" * 64),)), "expected eeeeeeee"),
    ):
        with pytest.raises(Refused, match=f"1 of 1 nodes lack what replicas need there; .*{fault}"):
            look_on_nodes(expected)

"""An artifact at an address in an object store: packed to it, read and loaded from it, as from a folder."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import undertow
from tests.packing import pack
from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.format.manifest import MANIFEST, WEIGHTS, read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.place import check_place, write
from undertow.cli.main import main
from undertow.core.errors import Refused, Unavailable
from undertow.storage.store_path import StorePath

pytestmark = pytest.mark.s3


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copied(trained: Callable[[str], Any], tmp_path: Path, store_root: StorePath) -> StorePath:
    """An artifact that was packed to a folder and copied to the store."""
    pack(trained("lstm").checkpoint, tmp_path / "walk", name="walk", taps={"hidden": "rnn:last"}, trust=True)
    for name in (MANIFEST, WEIGHTS):
        (store_root / "walk" / name).write_bytes((tmp_path / "walk" / name).read_bytes())
    return store_root / "walk"


def settings_of(root: StorePath, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the flags by which commands reach the store, with its secret as the environment has it."""
    options = root.options
    monkeypatch.setenv("UNDERTOW_STORE__SECRET_ACCESS_KEY", options.secret_access_key)
    given = {"endpoint": options.endpoint, "region": options.region, "access_key_id": options.access_key_id}
    return [flag for key, value in given.items() for flag in ("--set", f"store.{key}={value}")]


@pytest.mark.usefixtures("own_cache")
def test_it_gives_the_same_vectors_as_the_folder_and_is_fetched_once(
    copied: StorePath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(copied)
    windows = sample_windows(manifest.contract, manifest.preprocessing, sample_lengths(manifest.contract))
    expected = load(tmp_path / "walk").embed(windows).embeddings.features["hidden"]
    fetched: list[str] = []
    read = StorePath.read_bytes
    monkeypatch.setattr(StorePath, "read_bytes", lambda self: fetched.append(self.name) or read(self))
    for _ in range(2):
        assert np.array_equal(load(copied).embed(windows).embeddings.features["hidden"], expected)
    assert fetched == [MANIFEST, WEIGHTS, MANIFEST]


@pytest.mark.usefixtures("own_cache")
def test_one_whose_weights_were_altered_or_are_gone_is_refused_by_its_address(copied: StorePath) -> None:
    content = bytearray((copied / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copied / WEIGHTS).write_bytes(bytes(content))
    with pytest.raises(Refused, match=rf"{copied}/{WEIGHTS} was altered"):
        load(copied)
    (copied / WEIGHTS).unlink()
    with pytest.raises(Refused, match=rf"{copied}/{WEIGHTS} is missing"):
        load(copied)
    with pytest.raises(Refused, match=rf"expected an artifact in {copied}x, found no {MANIFEST} there"):
        load(copied.parent / "walkx")


def test_pack_writes_to_an_address_and_describe_and_the_api_read_it(
    trained: Callable[[str], Any], store_root: StorePath, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, checkpoint = settings_of(store_root, monkeypatch), str(trained("lstm").checkpoint)
    address = f"{store_root}/packed"
    command = ["pack", checkpoint, "--name", "walk", "--tap", "hidden=rnn:last", "--trust", "--output", address]
    done = CliRunner().invoke(main, [*command, *flags], catch_exceptions=False)
    assert (done.exit_code, f"{address}: walk__" in done.output) == (0, True), done.output
    assert {path.name for path in (store_root / "packed").walk_objects()} == {MANIFEST, WEIGHTS}
    again = CliRunner().invoke(main, [*command, *flags])
    assert (again.exit_code, f"{address} exists" in again.output) == (1, True), again.output

    shown = CliRunner().invoke(main, ["describe", address, "--json", *flags], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["name"] == "walk"
    shown = CliRunner().invoke(main, ["describe", "--json", "--set", f"model.artifact={address}", *flags])
    assert json.loads(shown.stdout)["name"] == "walk"

    options = store_root.options
    for name, value in {
        "AWS_ENDPOINT_URL": options.endpoint,
        "AWS_REGION": options.region,
        "AWS_ACCESS_KEY_ID": options.access_key_id,
        "AWS_SECRET_ACCESS_KEY": options.secret_access_key,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    assert undertow.load(address).name == "walk"
    assert [path.name for path in (own_cache / "undertow/known").iterdir()] == [
        hashlib.sha256((store_root / "packed" / WEIGHTS).read_bytes()).hexdigest()
    ]


def test_a_look_at_an_address_leaves_nothing_and_what_is_not_finished_is_no_artifact(store_root: StorePath) -> None:
    place = store_root / "new"
    check_place(place)
    assert not place.exists()

    def refuse(_: Path) -> None:
        message = "other vectors"
        raise Refused(message)

    with pytest.raises(Refused, match="other vectors"):
        write(place, {WEIGHTS: b"w", MANIFEST: b"{}"}, refuse)
    assert not place.exists()
    write(place, {WEIGHTS: b"w", MANIFEST: b"{}"}, lambda _: None)
    with pytest.raises(Refused, match="exists, and an artifact is never overwritten"):
        check_place(place)
    with pytest.raises(Refused, match="was written meanwhile by another"):
        write(place, {WEIGHTS: b"other", MANIFEST: b"{}"}, lambda _: None)
    assert (place / WEIGHTS).read_bytes() == b"w"


def test_an_address_that_cannot_be_written_is_refused_before_the_checkpoint_is_read(store_root: StorePath) -> None:
    nowhere = StorePath("s3://no-such-bucket", "a", store_root.options)
    with pytest.raises((Refused, Unavailable), match="cannot write the artifact to s3://no-such-bucket/a"):
        pack(Path("missing.ckpt"), nowhere, name="walk", taps={"hidden": "rnn"}, trust=True)

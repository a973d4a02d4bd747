"""What is no artifact, or no longer one: one line that says so, whatever stands in its place."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.packing import pack
from tests.rights import bound_by_rights
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.format.spaces import digest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused

TOML = """
class = "oddnets:Gated"
weights = "model.pt"
[input]
columns = ["a", "b"]
min_length = 2
max_length = 4
[series]
site = "string"
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import oddnets  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        torch.save(oddnets.Gated().state_dict(), folder / "model.pt")
        (folder / "model.toml").write_text(TOML)
        pack(folder / "model.toml", folder / "a", name="odd", taps={"hidden": "calm:mean"}, code=["oddnets"])
        yield folder / "a"
    del sys.modules["oddnets"]


@pytest.fixture
def artifact(packed: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    return Path(shutil.copytree(packed, tmp_path / "a"))


def reseal(artifact: Path, data: dict[str, Any]) -> None:
    """Write a manifest with the hash and, where it can be told, the space that fit it."""
    data.pop("sha256", None)
    with suppress(Exception):
        data["space"] = Manifest.from_json(data).space
    (artifact / "manifest.json").write_text(json.dumps({**data, "sha256": digest(data)}))


def of(artifact: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((artifact / "manifest.json").read_text())
    return data


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


ABSENT = object()
OTHERS = st.sampled_from([ABSENT, None, 5, -1, 0.5, True, "x", "", [], [1], {}, {"x": 1}, [[]], "10" * 9, 10**30])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_a_manifest_with_any_value_absent_or_another_is_read_or_refused_in_a_line(
    data: st.DataObject, packed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = of(packed)
    path = data.draw(st.sampled_from([one for one in places(changed) if one[0] != "sha256"]))
    value = data.draw(OTHERS)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is ABSENT:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    folder = tmp_path_factory.mktemp("changed")
    shutil.copy(packed / "weights.safetensors", folder)
    reseal(folder, changed)
    with suppress(Refused):
        load(folder, code=["oddnets"]).close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("key", ["name", "model", "features", "preprocessing", "contract", "space", "certificate"])
def test_a_manifest_without_a_key_names_it(key: str, artifact: Path) -> None:
    data = of(artifact)
    del data[key]
    data.pop("sha256")
    (artifact / "manifest.json").write_text(json.dumps({**data, "sha256": digest(data)}))
    with pytest.raises(Refused, match=f"is no manifest that this version reads: it has no '{key}'"):
        read_manifest(artifact)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(name=5), r"name: expected a text, found 5"),
        (lambda data: data.update(model=5), "is no manifest that this version reads"),
        (
            lambda data: data["contract"].update(max_length="4"),
            r"contract.max_length: expected a whole .*'4'",
        ),
        (lambda data: data["sample"].update(hidden=[["x"]]), "sample.hidden.0.0: expected a number, found 'x'"),
    ],
)
def test_a_value_of_another_type_is_named(change: Callable[[Any], object], message: str, artifact: Path) -> None:
    data = of(artifact)
    change(data)
    reseal(artifact, data)
    with pytest.raises(Refused, match=message):
        read_manifest(artifact)


def test_a_manifest_of_200_000_nested_objects_is_damaged(artifact: Path) -> None:
    (artifact / "manifest.json").write_text('{"a":' * 200_000 + "1" + "}" * 200_000)
    with pytest.raises(Refused, match="is damaged"):
        read_manifest(artifact)


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b'"x"', b"\xff\xfe", b'{"sha256": {}}', b"null"])
def test_a_file_that_is_no_manifest_is_refused(content: bytes, artifact: Path) -> None:
    (artifact / "manifest.json").write_bytes(content)
    with pytest.raises(Refused, match=r"is damaged|has format None"):
        read_manifest(artifact)


def as_file(path: Path) -> None:
    path.write_text("no folder")


def as_loop(path: Path) -> None:
    path.symlink_to(path)


def as_folder_of_folders(path: Path) -> None:
    (path / "manifest.json").mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "found"),
    [(as_file, "Not a directory"), (as_loop, "symbolic links"), (as_folder_of_folders, "Is a directory")],
)
def test_what_stands_where_an_artifact_should_is_said_by_every_command(
    make: Callable[[Path], None], found: str, tmp_path: Path
) -> None:
    make(tmp_path / "a")
    done = CliRunner().invoke(main, ["describe", str(tmp_path / "a")])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    assert "expected an artifact in" in done.output
    assert found in " ".join(done.output.split())


def test_a_folder_in_place_of_the_weights_is_refused(artifact: Path) -> None:
    (artifact / "weights.safetensors").unlink()
    (artifact / "weights.safetensors").mkdir()
    with pytest.raises(Refused, match=r"cannot read .*weights.safetensors: Is a directory"):
        load(artifact, code=["oddnets"])


@pytest.mark.parametrize("part", [".", "manifest.json", "weights.safetensors"])
def test_what_may_not_be_read_of_an_artifact_is_refused(part: str, artifact: Path) -> None:
    (artifact / part).chmod(0)
    try:
        with pytest.raises(Refused, match="Permission denied"):
            bound_by_rights(lambda: load(artifact, code=["oddnets"]))
    finally:
        (artifact / part).chmod(0o755)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept.update(hidden_size="8"), "TypeError"),
        (lambda kept: kept.update(of_another_version=1), "of_another_version"),
        (lambda kept: kept.update(hidden_size=9), "size mismatch"),
        (dict.clear, "cannot be built with its hyperparameters"),
    ],
)
def test_hyperparameters_of_another_version_are_refused_with_the_versions_that_packed(
    change: Callable[[Any], object], message: str, trained: Callable[[str], Any], tmp_path: Path
) -> None:
    pack(trained("lstm").checkpoint, tmp_path / "a", name="walk", taps={"hidden": "rnn:last"}, trust=True)
    data = of(tmp_path / "a")
    change(data["model"]["hyperparameters"])
    reseal(tmp_path / "a", data)
    with pytest.raises(Refused, match=message) as refused:
        load(tmp_path / "a")
    assert "packed with pytorch-forecasting 1." in str(refused.value)

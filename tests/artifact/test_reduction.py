"""A PCA fitted when packed, held against scikit-learn on vectors of the unhooked model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
from click.testing import CliRunner
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from tests.packing import pack
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.load.loader import load
from undertow.artifact.pack import fit
from undertow.cli.main import main
from undertow.core import embedder as embedding
from undertow.core.errors import Refused
from undertow.schemas.spaces import SpaceView
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import windows_to_arrow

Train = Callable[[str], Any]
TAP = "encoder_variable_selection"


@pytest.fixture(scope="module")
def source(trained: Train) -> Any:
    return trained("tft")


@pytest.fixture(scope="module")
def expected(source: Any, reference: Any) -> Any:
    return reference(source, TAP)


@pytest.fixture(scope="module")
def history(source: Any, expected: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two files with the windows of the reference, as for a backfill."""
    folder = tmp_path_factory.mktemp("history")
    contract = pack(source.checkpoint, folder / "plain", name="w", taps={"h": TAP}, trust=True).contract
    table = windows_to_arrow(expected.windows, contract)
    pq.write_table(table.slice(0, 40), folder / "a.parquet")
    pq.write_table(table.slice(40), folder / "b.parquet")
    return folder


def make(source: Any, output: Path, tap: str, history: Path | None) -> Manifest:
    return pack(source.checkpoint, output, name="walk", taps={"hidden": tap}, fit=history, trust=True)


def embed(artifact: Path, windows: WindowBatch) -> NDArray[np.float32]:
    embedded = load(artifact).embed(windows)
    assert embedded.faults == ()
    found: NDArray[np.float32] = embedded.embeddings.features["hidden"]
    return found


def turned(pca: Any) -> NDArray[np.float64]:
    """Return the components, each with its largest loading positive."""
    rows = [row if row[np.abs(row).argmax()] > 0 else -row for row in pca.components_]
    return np.stack(rows)


def test_vectors_are_projected_as_scikit_learn_does(source: Any, expected: Any, history: Path, tmp_path: Path) -> None:
    manifest = make(source, tmp_path / "a", f"{TAP}:last,pca=3", history)
    plain = expected.last.astype(float)
    pca = PCA(3, svd_solver="full").fit(plain)
    projected = (plain - plain.mean(axis=0)) @ turned(pca).T
    found = embed(tmp_path / "a", expected.windows)
    assert (found.dtype, manifest.view().features) == (np.float32, (("hidden", 3),))
    np.testing.assert_allclose(found, projected, rtol=0, atol=1e-5 * np.abs(projected).max())
    np.testing.assert_allclose(manifest.facts["hidden"]["explained_variance"], pca.explained_variance_ratio_, rtol=1e-4)
    assert manifest.facts["hidden"]["fitted_on"] == len(expected.windows)
    assert manifest.description.endswith(f"pca=3 ({sum(pca.explained_variance_ratio_):.1%} of the variance)")


def test_how_the_files_are_called_changes_nothing_and_how_they_are_cut_next_to_nothing(
    source: Any, expected: Any, history: Path, tmp_path: Path
) -> None:
    usual = make(source, tmp_path / "a", f"{TAP}:last,pca=3", history)
    tables = [pq.read_table(history / name) for name in ("a.parquet", "b.parquet")]
    (tmp_path / "renamed").mkdir()
    shutil.copy(history / "a.parquet", tmp_path / "renamed" / "z.parquet")
    shutil.copy(history / "b.parquet", tmp_path / "renamed" / "b.parquet")
    assert make(source, tmp_path / "b", f"{TAP}:last,pca=3", tmp_path / "renamed").space == usual.space
    rows = np.random.default_rng(2).permutation(sum(map(len, tables)))
    (tmp_path / "shuffled").mkdir()
    for number, part in enumerate(np.array_split(rows, 5)):
        pq.write_table(pa.concat_tables(tables).take(part), tmp_path / "shuffled" / f"{number}.parquet")
    make(source, tmp_path / "c", f"{TAP}:last,pca=3", tmp_path / "shuffled")
    found = embed(tmp_path / "c", expected.windows)
    np.testing.assert_allclose(found, embed(tmp_path / "a", expected.windows), rtol=0, atol=1e-5)


def test_the_pca_of_a_history_in_the_order_of_time_is_the_exact_one(
    source: Any, expected: Any, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "BATCH_ROWS", 9)
    make(source, tmp_path / "a", f"{TAP}:last,pca=2", history)
    kept = safetensors.torch.load_file(tmp_path / "a" / "weights.safetensors")["reduction/hidden/components"]
    plain = expected.last.astype(float)
    exact = np.linalg.svd(plain - plain.mean(axis=0), full_matrices=False)[2][:2]
    apart = kept.numpy() - kept.numpy() @ exact.T @ exact
    assert np.degrees(np.arcsin(np.linalg.norm(apart, 2))) < 0.1


def test_reduced_and_normalised_vectors_are_the_same_alone(
    source: Any, expected: Any, history: Path, tmp_path: Path
) -> None:
    make(source, tmp_path / "a", f"{TAP}:last+mean,pca=4,l2", history)
    found, embedder = embed(tmp_path / "a", expected.windows), load(tmp_path / "a")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-6)
    for row in range(0, len(found), 9):
        alone = embedder.embed(expected.windows.take(np.array([row]))).embeddings.features["hidden"]
        np.testing.assert_allclose(alone[0], found[row], rtol=0, atol=1e-6)


def test_vectors_that_are_too_short_to_be_normalised_are_refused(
    trained: Train, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "LEAST_WINDOWS", 1)  # else a window alone is embedded as in a batch
    with pytest.raises(Refused, match=r"otherwise alone than in a batch.*l2 magnifies differences in short vectors"):
        make(trained("lstm"), tmp_path / "a", "rnn:last,pca=4,l2", history)


def test_what_was_fitted_is_part_of_the_space_and_reads_back(source: Any, history: Path, tmp_path: Path) -> None:
    both = make(source, tmp_path / "a", f"{TAP}:last,pca=2", history)
    again = make(source, tmp_path / "b", f"{TAP}:last,pca=2", history)
    other = make(source, tmp_path / "c", f"{TAP}:last,pca=2", history / "a.parquet")
    assert both.space == again.space != other.space
    assert read_manifest(tmp_path / "a") == both
    assert SpaceView.from_json(json.loads(json.dumps(both.view().to_json()))) == both.view()
    components = safetensors.torch.load_file(tmp_path / "a" / "weights.safetensors")["reduction/hidden/components"]
    np.testing.assert_allclose((components @ components.T).numpy(), np.eye(2), atol=1e-6)


def test_the_command_fits_on_a_file(source: Any, history: Path, tmp_path: Path) -> None:
    output = tmp_path / "a"
    arguments = [
        "--name",
        "walk",
        "--tap",
        f"hidden={TAP}:last,pca=2,l2",
        "--fit",
        str(history),
        "--output",
        str(output),
    ]
    done = CliRunner().invoke(main, ["pack", str(source.checkpoint), *arguments, "--trust"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert read_manifest(output).view().features == (("hidden", 2),)


def test_a_folder_to_fit_on_holds_what_a_backfill_would_read(history: Path, tmp_path: Path) -> None:
    contract = read_manifest(history / "plain").contract
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "a.PARQ").write_bytes((history / "a.parquet").read_bytes())
    (tmp_path / "b").symlink_to(history)
    (tmp_path / "_temporary" / "half.parquet").write_bytes(b"PAR1")

    def count(path: Path) -> int:
        return sum(len(read.windows) for read in fit._read(path, contract))

    assert count(tmp_path) == count(history) + count(history / "a.parquet")


def test_what_cannot_be_fitted_is_refused(source: Any, history: Path, tmp_path: Path) -> None:
    few, alien, same = tmp_path / "few.parquet", tmp_path / "alien.parquet", tmp_path / "same.parquet"
    table = pq.read_table(history / "a.parquet")
    pq.write_table(table.slice(0, 2), few)
    pq.write_table(table.drop(["end"]), alien)
    pq.write_table(pa.concat_tables([table.slice(0, 1)] * 5), same)
    pq.write_table(table.slice(0, 1), single := tmp_path / "single.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet")
    (tmp_path / "empty").mkdir()
    for tap, path, message in (
        (f"{TAP}:last,pca=3", None, "fitted on windows of yours, Parquet as for a backfill: --fit"),
        (f"{TAP}:last", few, "to fit a PCA on, and no feature has one"),
        (f"{TAP}:last,pca=9", few, "has 8 dimensions before its PCA, which cannot leave 9"),
        (f"{TAP}:last,pca=3", few, "keeps 3 components.*found 2 in"),
        (f"{TAP}:last,pca=3", alien, "alien.parquet cannot hold windows for this model: end: expected timestamps"),
        (
            f"{TAP}:last,pca=3",
            same,
            "cannot be applied in float32: .* vary little around a large mean|vary in [01] directions only",
        ),
        (f"{TAP}:last,pca=1", single, "vary in 0 directions only over the 1 window in"),
        (f"{TAP}:last,pca=3", tmp_path / "text.parquet", "is no readable Parquet file"),
        (f"{TAP}:last,pca=3", tmp_path / "empty", "found none"),
    ):
        with pytest.raises(Refused, match=message):
            make(source, tmp_path / "a", tap, path)
    assert not (tmp_path / "a").exists()

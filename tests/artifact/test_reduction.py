"""A PCA fitted when packed, held against scikit-learn on vectors of the unhooked model."""

import json
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
from sklearn.decomposition import PCA, IncrementalPCA

from schemas.spaces import SpaceView
from schemas.windows import WindowBatch
from schemas.windows_arrow import windows_to_arrow
from workers.artifact import fit
from workers.artifact.load import load
from workers.artifact.manifest import Manifest, read_manifest
from workers.artifact.pack import pack
from workers.cli import main
from workers.core.errors import Refused

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


class Flipped(IncrementalPCA):
    """Gives each component the other sign, as another library might."""

    def partial_fit(self, *args: Any, **settings: Any) -> Any:
        super().partial_fit(*args, **settings)
        self.components_ = -self.components_
        return self


def test_the_largest_loading_is_positive_whatever_the_fit_gives(
    source: Any, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = make(source, tmp_path / "a", f"{TAP}:last,pca=3", history)
    monkeypatch.setattr(fit, "IncrementalPCA", Flipped)
    assert make(source, tmp_path / "b", f"{TAP}:last,pca=3", history).space == usual.space


def test_many_windows_are_fitted_in_steps(
    source: Any, expected: Any, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "BATCH_ROWS", 20)
    monkeypatch.setattr(fit, "BATCH_SIZES", 1)
    make(source, tmp_path / "a", f"{TAP}:last,pca=2", history)
    pca = IncrementalPCA(2)
    for first in (0, 20, 40, 60):
        pca.partial_fit(expected.last[first : first + 20].astype(float))
    projected = (expected.last - pca.mean_) @ turned(pca).T
    found = embed(tmp_path / "a", expected.windows)
    np.testing.assert_allclose(found, projected, rtol=0, atol=1e-5 * np.abs(projected).max())


def test_reduced_and_normalised_vectors_are_the_same_alone(
    source: Any, expected: Any, history: Path, tmp_path: Path
) -> None:
    make(source, tmp_path / "a", f"{TAP}:last+mean,pca=4,l2", history)
    found, embedder = embed(tmp_path / "a", expected.windows), load(tmp_path / "a")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-6)
    for row in range(0, len(found), 9):
        alone = embedder.embed(expected.windows.take(np.array([row]))).embeddings.features["hidden"]
        np.testing.assert_allclose(alone[0], found[row], rtol=0, atol=1e-6)


def test_vectors_that_are_too_short_to_be_normalised_are_refused(trained: Train, history: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"otherwise alone than in a batch.*l2 magnifies what differs in short vectors"):
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


def test_the_command_says_which_call_it_took(trained: Train, tmp_path: Path) -> None:
    arguments = ["--name", "walk", "--tap", "hidden=rnn:last", "--output", str(tmp_path / "a"), "--trust"]
    done = CliRunner().invoke(main, ["pack", str(trained("lstm").checkpoint), *arguments], catch_exceptions=False)
    assert "note: one forward calls rnn 4 times, and the tap takes call 0" in done.output


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
            "cannot be applied in float32: .* vary little around a large mean|do not vary, or overflow",
        ),
        (f"{TAP}:last,pca=1", single, "is not finite: the vectors of the 1 windows .* do not vary"),
        (f"{TAP}:last,pca=3", tmp_path / "text.parquet", "is no readable Parquet file"),
        (f"{TAP}:last,pca=3", tmp_path / "empty", "found none"),
    ):
        with pytest.raises(Refused, match=message):
            make(source, tmp_path / "a", tap, path)
    assert not (tmp_path / "a").exists()

"""Models that take another way with some windows, or cannot take many at once: packed, certified, embedded."""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tests.packing import pack
from undertow.artifact.format.certificate import Certificate
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.format.spaces import digest
from undertow.artifact.load.loader import load
from undertow.artifact.pack.certify.threads import look_at_threads
from undertow.cli.main import main
from undertow.core.embedder import Embedder
from undertow.core.errors import Refused
from undertow.schemas.records import REASONS
from undertow.schemas.windows import WindowBatch

TOML = """
class = "oddnets:{name}"
weights = "model.pt"
[input]
columns = ["a", "b"]
min_length = {least}
max_length = 8
[series]
site = "string"
"""


@pytest.fixture(scope="module")
def nets() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import oddnets  # type: ignore[import-not-found]  # noqa: PLC0415 it needs the path

        yield oddnets
    del sys.modules["oddnets"]


@pytest.fixture
def packed(nets: Any, tmp_path: Path) -> Callable[..., tuple[Embedder, Manifest]]:
    """Return a function that packs one of the modules, and loads it."""

    def make(name: str, tap: str, least: int = 8) -> tuple[Embedder, Manifest]:
        torch.manual_seed(1)
        torch.save(getattr(nets, name)().state_dict(), tmp_path / "model.pt")
        (tmp_path / "model.toml").write_text(TOML.format(name=name, least=least))
        manifest = pack(tmp_path / "model.toml", tmp_path / "a", name="odd", taps={"hidden": tap}, code=["oddnets"])
        return load(tmp_path / "a", code=["oddnets"]), manifest

    return make


def windows(count: int, **changed: dict[int, float]) -> WindowBatch:
    """Calm windows of 8 steps; `a={3: 90.0}` makes the first `a` of window 3 another number."""
    rng = np.random.default_rng(2)
    past = {name: rng.uniform(0.1, 0.9, count * 8) * rng.choice([-1, 1], count * 8) for name in ("a", "b")}
    for name, values in changed.items():
        for row, value in values.items():
            past[name][row * 8] = value
    return WindowBatch(
        series={"site": np.array([f"s{row}" for row in range(count)], object)},
        end_us=np.arange(count),
        lengths=np.full(count, 8),
        past=past,
        future={},
        static={},
    )


def scaled(batch: WindowBatch, factor: float) -> WindowBatch:
    past: dict[str, Any] = {name: np.asarray(values, np.float64) * factor for name, values in batch.past.items()}
    return replace(batch, past=past)


def lines(manifest: Manifest) -> str:
    assert manifest.certificate is not None
    return "\n".join(manifest.certificate.lines())


def test_a_loud_window_that_takes_the_untapped_branch_is_a_fault_and_its_neighbours_are_embedded(
    packed: Callable[..., Any],
) -> None:
    embedder, manifest = packed("Gated", "calm:mean")
    found = embedder.embed(windows(11, a={5: 90.0}))
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    (fault,) = found.faults
    assert (fault.row, fault.reason, fault.reason in REASONS) == (5, "tap", True)
    assert "the tap calm#0 is a module of Gated, but the forward never calls it" in fault.detail
    plain = embedder.embed(windows(11)).embeddings.features["hidden"]
    np.testing.assert_allclose(found.embeddings.features["hidden"], plain[found.rows], rtol=0, atol=1e-6)
    assert embedder.max_windows is None, "the batch was not too large"
    assert "windows of numbers 1,000 spreads away: refused (tap)" in lines(manifest)
    assert "embedded too: windows of zeros, of one number" in lines(manifest)


def test_a_window_no_step_of_which_reaches_the_tapped_expert_is_a_fault_when_it_is_alone(
    packed: Callable[..., Any],
) -> None:
    embedder, manifest = packed("Experts", "high:mean")
    low = windows(1)
    low.past["a"][:] = -0.5
    assert [fault.reason for fault in embedder.embed(low).faults] == ["tap"]
    assert "windows of zeros: refused (tap)" in lines(manifest)


def test_a_window_whose_zero_steps_are_left_out_is_a_fault(packed: Callable[..., Any]) -> None:
    embedder, manifest = packed("Dropping", "gru:last")
    found = embedder.embed(windows(1, a={0: 0.0}, b={0: 0.0}))
    assert [fault.reason for fault in found.faults] == ["tap"]
    assert "expected a hidden state of 8 steps for windows of 8" in found.faults[0].detail
    assert "windows of zeros: refused" in lines(manifest)


@pytest.mark.parametrize("count", [33, 100])
def test_a_forward_in_chunks_embeds_a_backlog_that_is_larger_and_pack_has_seen_how_many_it_takes(
    count: int, packed: Callable[..., Any], nets: Any
) -> None:
    embedder, manifest = packed("Chunked", "gru:last")
    batch = windows(count)
    found = embedder.embed(batch)
    model = nets.Chunked().eval()
    model.load_state_dict(load_weights(embedder))
    x = torch.from_numpy(np.stack([batch.past["a"], batch.past["b"]], axis=1).reshape(count, 8, 2).astype(np.float32))
    with torch.inference_mode():
        expected = model(x)[:, -1].numpy()
    np.testing.assert_allclose(found.embeddings.features["hidden"], expected, rtol=0, atol=1e-6)
    assert manifest.certificate is not None
    assert manifest.certificate.batches is not None
    assert manifest.certificate.batches.sizes == (1, 6, 256, 1024)
    assert manifest.certificate.batches.max_windows == embedder.max_windows
    assert 16 <= (embedder.max_windows or 0) <= 32
    assert f"no forward takes more than {embedder.max_windows}" in lines(manifest)


def load_weights(embedder: Embedder) -> Any:
    return embedder._taps._model.state_dict()


def test_a_model_whose_windows_are_others_in_a_large_batch_is_not_packed(packed: Callable[..., Any]) -> None:
    with pytest.raises(Refused, match="embedded otherwise in a batch of 1024, than in one of 6"):
        packed("Counting", "out:last")


def test_what_pack_saw_of_batches_and_threads_is_kept_and_described(packed: Callable[..., Any], tmp_path: Path) -> None:
    _, manifest = packed("Gated", "calm:mean", least=2)
    assert read_manifest(tmp_path / "a") == manifest
    assert manifest.certificate == Certificate.from_json(json.loads(json.dumps(manifest.certificate.to_json())))
    told = CliRunner().invoke(main, ["describe", str(tmp_path / "a"), "--code", "oddnets"], catch_exceptions=False)
    assert "the same in batches of 1, 6, 256, 4,096" in told.stdout
    assert "forwards of several threads may run at once" in told.stdout


@pytest.mark.parametrize(
    ("name", "tap", "said"),
    [
        (
            "Reversible",
            "revin#1:last",
            "one forward at a time, whatever the threads: it writes revin.mean, revin.spread",
        ),
        (
            "Secretive",
            "out:last",
            "one forward at a time, whatever the threads: beside another thread's, one gave other",
        ),
    ],
)
def test_a_model_that_keeps_state_for_the_length_of_a_forward_gives_each_thread_its_own_vectors(
    name: str, tap: str, said: str, packed: Callable[..., Any]
) -> None:
    embedder, manifest = packed(name, tap)
    assert said in lines(manifest)
    batches = [scaled(windows(16), 10.0 ** (power / 2.5)) for power in range(8)]
    expected = [embedder.embed(batch).embeddings.features["hidden"] for batch in batches]

    def differing(row: int) -> int:
        found = (embedder.embed(batches[row]).embeddings.features["hidden"] for _ in range(80))
        return sum(not np.array_equal(one, expected[row]) for one in found)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(differing, range(8))) == 0


def test_an_artifact_of_before_which_says_nothing_of_threads_lets_forwards_wait_for_each_other(
    packed: Callable[..., Any], tmp_path: Path
) -> None:
    packed("Gated", "calm:mean")
    file = tmp_path / "a" / "manifest.json"
    data = json.loads(file.read_text())
    assert load(tmp_path / "a", code=["oddnets"]).is_threadsafe
    del data["sha256"], data["certificate"]["threads"], data["certificate"]["batches"]
    file.write_text(json.dumps({**data, "sha256": digest(data)}))
    assert not load(tmp_path / "a", code=["oddnets"]).is_threadsafe


def test_one_that_waits_is_not_looked_at_for_ever(packed: Callable[..., Any]) -> None:
    embedder, _ = packed("Reversible", "revin#1:last")
    assert not embedder.is_threadsafe
    with pytest.raises(ValueError, match="whose forwards run at once"):
        look_at_threads(embedder, nn.Identity(), lambda: None, windows(1), windows(1))

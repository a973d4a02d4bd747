"""On a CUDA device: the vectors of the unmodified model there, in any company, also where memory is short.

The reference is a plain hook on the whole model on the same device, or the CPU; or what was embedded undisturbed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from pytorch_forecasting.utils import move_to_device
from torch import Tensor, nn

from tests.packing import pack
from undertow.artifact.load.loader import find_device, load
from undertow.artifact.load.precision import TOLERANCE
from undertow.artifact.pack.read.trained import read_trained
from undertow.core.embedder import Embedder
from undertow.core.errors import Unavailable
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import windows_to_arrow

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a CUDA device: run `pytest -m gpu` where there is one"
    ),
]

Train = Callable[[str], Any]
CASES = [("lstm", "rnn", 1), ("gru", "rnn", 1), ("deepar", "rnn", 1), ("tft", "lstm_encoder", 0),
         ("tft", "encoder_variable_selection", 0), ("lagged-tft", "lstm_encoder", 0)]  # fmt: skip


@pytest.fixture(autouse=True)
def settings_of_torch() -> Iterator[None]:
    """Let a test begin as a process does, with what torch allows by default."""
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
    yield
    torch.cuda.empty_cache()


def vectors(embedder: Embedder, windows: WindowBatch) -> NDArray[np.float32]:
    embedded = embedder.embed(windows)
    assert embedded.faults == ()
    found: NDArray[np.float32] = embedded.embeddings.features["hidden"]
    return found


def hooked(source: Any, path: str, fewer: int) -> NDArray[np.float32]:
    """Return the last valid step of pytorch-forecasting's own batch, by a plain hook on the whole model on the GPU."""
    model = read_trained(source.checkpoint, trust=True).model.cuda().eval()
    x, _ = next(iter(source.dataset.to_dataloader(train=False, batch_size=64, num_workers=0)))
    caught: list[Any] = []
    model.get_submodule(path).register_forward_hook(lambda _, __, output: caught.append(output))
    with torch.inference_mode():
        model(move_to_device(x, "cuda"))
    steps: Tensor = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    return torch.stack([row[n - fewer - 1] for row, n in zip(steps, x["encoder_lengths"], strict=True)]).cpu().numpy()


@pytest.mark.parametrize(("name", "path", "fewer"), CASES)
def test_an_artifact_embeds_on_a_gpu_as_the_trained_model_does_there(
    name: str, path: str, fewer: int, trained: Train, reference: Any, tmp_path: Path
) -> None:
    source = trained(name)
    on_cpu = reference(source, path, fewer)
    pack(source.checkpoint, tmp_path / "a", name="walk", taps={"hidden": f"{path}:last"}, trust=True)
    embedder = load(tmp_path / "a", device="cuda")
    found = vectors(embedder, on_cpu.windows)
    np.testing.assert_allclose(found, hooked(source, path, fewer), rtol=0, atol=2e-6)
    np.testing.assert_allclose(found, on_cpu.last, rtol=0, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(found))
    np.testing.assert_allclose(vectors(embedder, on_cpu.windows.take(order)), found[order], rtol=0, atol=1e-6)
    alone = [vectors(embedder, on_cpu.windows.take(np.array([row])))[0] for row in range(0, len(found), 5)]
    np.testing.assert_allclose(np.stack(alone), found[::5], rtol=0, atol=1e-6)


def test_tensor_cores_do_not_round_float32() -> None:
    torch.manual_seed(0)
    lstm, x = nn.LSTM(64, 256, 2, batch_first=True), torch.randn(128, 24, 64)
    exact = deepcopy(lstm).double()(x.double())[0].detach()

    def apart() -> float:
        return float((deepcopy(lstm).cuda()(x.cuda())[0].detach().cpu() - exact).abs().max())

    rounded = apart()
    assert find_device("auto").type == "cuda"
    assert apart() <= 2e-6
    if torch.cuda.get_device_capability() >= (8, 0):
        assert rounded > 1e-5  # what the model would give without that setting


@pytest.fixture
def packed(trained: Train, tmp_path: Path) -> Path:
    pack(trained("tft").checkpoint, tmp_path / "a", name="walk", taps={"hidden": "lstm_encoder:last"}, trust=True)
    return tmp_path / "a"


def test_a_batch_that_does_not_fit_the_memory_is_halved(packed: Path, trained: Train, reference: Any) -> None:
    few = reference(trained("tft"), "lstm_encoder").windows
    many = few.take(np.resize(np.arange(len(few)), 40_000))
    embedder = load(packed, device="cuda")
    expected = vectors(embedder, many)
    took = torch.cuda.max_memory_allocated()
    before = torch.cuda.memory_stats()["num_ooms"]
    with at_most(took // 3):
        found = vectors(embedder, many)
        assert torch.cuda.memory_stats()["num_ooms"] > before
        ooms = torch.cuda.memory_stats()["num_ooms"]
        vectors(embedder, many)
        assert torch.cuda.memory_stats()["num_ooms"] == ooms  # the size is remembered
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_no_memory_for_a_single_window_can_be_tried_again(packed: Path, trained: Train, reference: Any) -> None:
    windows = reference(trained("tft"), "lstm_encoder").windows
    embedder = load(packed, device="cuda")
    expected = vectors(embedder, windows)
    with at_most(0), pytest.raises(Unavailable, match="cuda has no memory for the forward of one window"):
        embedder.embed(windows)
    np.testing.assert_allclose(vectors(embedder, windows), expected, rtol=0, atol=1e-6)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let torch take no more than so many bytes of the device besides what lies there."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + size) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_four_threads_share_one_embedder_on_a_gpu(packed: Path, trained: Train, reference: Any) -> None:
    windows = reference(trained("tft"), "lstm_encoder").windows
    embedder = load(packed, device="cuda")
    parts = [windows.take(np.arange(first, len(windows), 4)) for first in range(4)]
    expected = [vectors(embedder, part) for part in parts]

    def work(k: int) -> float:
        return max(float(np.abs(vectors(embedder, parts[k]) - expected[k]).max()) for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) <= 1e-6


@pytest.mark.skipif("AVX512" not in torch.backends.cpu.get_cpu_capability(), reason="packs with AVX-512: lscpu")
def test_a_narrow_artifact_embeds_on_a_gpu_as_under_its_autocast(
    trained: Train, reference: Any, tmp_path: Path
) -> None:
    source = trained("tft")
    taps = {"hidden": "lstm_encoder:last"}
    pack(source.checkpoint, tmp_path / "a", name="walk", taps=taps, trust=True, precision="bfloat16")
    plain = reference(source, "lstm_encoder")
    found = vectors(load(tmp_path / "a", device="cuda"), plain.windows)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        expected = hooked(source, "lstm_encoder", 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE["bfloat16"] * max(1.0, np.abs(expected).max()))
    assert np.abs(found - plain.last).max() > 1e-5  # other numbers, of the same things


def test_a_projection_and_a_forecast_are_computed_on_a_gpu(trained: Train, reference: Any, tmp_path: Path) -> None:
    source = trained("tft")
    windows = reference(source, "lstm_encoder").windows
    taps = {"hidden": "lstm_encoder:mean+max", "forecast": "forecast"}
    contract = pack(source.checkpoint, tmp_path / "plain", name="walk", taps=taps, trust=True).contract
    pq.write_table(windows_to_arrow(windows, contract), tmp_path / "history.parquet")
    taps["projected"] = "lstm_encoder:last,pca=3"
    pack(source.checkpoint, tmp_path / "a", name="walk", taps=taps, fit=tmp_path / "history.parquet", trust=True)
    on_cpu, on_gpu = (load(tmp_path / "a", device=name).embed(windows).embeddings.features for name in ("cpu", "cuda"))
    for name, expected in on_cpu.items():
        np.testing.assert_allclose(on_gpu[name], expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))

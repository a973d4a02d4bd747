"""Plain modules written with the TOML that packs them, and their windows one by one."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from undertow.schemas.windows import WindowBatch

TEXT = """class = "{nets}:{name}"
weights = "model.pt"
[arguments]
{arguments}
[input]
{more}
columns = {columns}
axes = "{axes}"
min_length = {least}
max_length = {most}
[series]
wearer = "string"
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Forwards are small here: two threads of each would mostly wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def nets(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The package of modules beside a test that the test's `NETS` names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        name = request.module.NETS
        yield __import__(name)
    del sys.modules[name]


@pytest.fixture
def describe(nets: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a module's weights and its TOML."""

    def write(
        name: str, axes: str, least: int = 2, most: int = 9, more: str = "", columns: str = "ab", **arguments: Any
    ) -> Path:
        torch.manual_seed(4)
        torch.save(getattr(nets, name)(**arguments).state_dict(), tmp_path / "model.pt")
        path = tmp_path / "model.toml"
        path.write_text(
            TEXT.format(
                nets=nets.__name__,
                name=name,
                arguments="\n".join(f"{key} = {json.dumps(value)}" for key, value in arguments.items()),
                more=more,
                columns=json.dumps(list(columns)),
                axes=axes,
                least=least,
                most=most,
            )
        )
        return path

    return write


@pytest.fixture
def plain(nets: ModuleType) -> Callable[..., Any]:
    """Return a function that builds a described module without any of our code."""

    def build(path: Path, name: str, **arguments: Any) -> Any:
        model = getattr(nets, name)(**arguments).eval()
        model.load_state_dict(torch.load(path.parent / "model.pt", weights_only=True))
        return model

    return build


@pytest.fixture(scope="session")
def walks() -> Callable[..., WindowBatch]:
    """Return a function that makes windows of these lengths."""

    def make(lengths: list[int], columns: str = "ab") -> WindowBatch:
        rng = np.random.default_rng(8)
        return WindowBatch(
            series={"wearer": np.array([f"s{row}" for row in range(len(lengths))], object)},
            end_us=np.arange(len(lengths)),
            lengths=np.array(lengths),
            past={name: rng.normal(size=sum(lengths)) for name in columns},
            future={},
            static={},
        )

    return make


@pytest.fixture(scope="session")
def alone() -> Callable[[WindowBatch], list[torch.Tensor]]:
    """Return a function that gives each window as (t, c)."""

    def split(windows: WindowBatch) -> list[torch.Tensor]:
        steps = np.stack(list(windows.past.values()), axis=1).astype(np.float32)
        return [torch.from_numpy(one) for one in np.split(steps, windows.starts[1:-1])]

    return split

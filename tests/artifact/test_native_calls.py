"""What is compiled of a model, and which calls native code is given: no compiler is needed to see that."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from undertow.artifact.faster import compiled as running
from undertow.artifact.faster import compiling
from undertow.artifact.faster.calls import flatten
from undertow.artifact.format.parts import Compiled, CompiledPart

PACKAGE = "compiled/0.pt2"


class Net(nn.Module):
    """A convolution stack, a recurrent layer, a stack that takes an object, a small one."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Tanh())
        self.steps = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Tanh(), nn.ReLU(), nn.Tanh(), nn.ReLU(), Last()))
        self.odd = Odd()
        self.small = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.ReLU(), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.steps(self.stack(x)) + self.odd(self.stack(x), object())
        return hidden + self.small(hidden[:1, :1, :1])


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x.transpose(1, 2))[0].transpose(1, 2)
        return output


class Odd(nn.Module):
    def forward(self, x: Tensor, _: object) -> Tensor:
        return x.tanh().relu().tanh().relu().exp()


@pytest.mark.parametrize(("tap", "expected"), [("small", ["stack"]), ("stack", ["stack"]), ("stack.2", [])])
def test_what_is_compiled_takes_tensors_only_is_large_and_has_nothing_recurrent_or_tapped_inside(
    tap: str, expected: list[str]
) -> None:
    model = Net().eval()

    def run() -> None:
        with torch.inference_mode():
            model(torch.ones(3, 2, 9))
            model(torch.ones(4, 2, 12))

    seen, total = compiling._watch(model, run)
    assert [path for path, _ in compiling._candidates(model, [tap], seen, total)] == expected


PART = CompiledPart(
    path="0",
    file=PACKAGE,
    sha256="",
    arguments={"tuple": [{"tuple": [{"tensor": None}, {"tensor": None}]}, {"dict": []}]},
    tensors=(("torch.float32", ("n", 3)), ("torch.float32", ("n", "t"))),
    least={"t": 4},
)


class Sum(nn.Module):
    def forward(self, one: Tensor, other: Any = None) -> Tensor:
        return one.sum() + (0 if other is None else torch.as_tensor(other).sum())


@pytest.mark.parametrize(
    ("args", "is_native"),
    [
        ((torch.ones(2, 3), torch.ones(2, 4)), True),
        ((torch.ones(1, 3), torch.ones(1, 9)), True),
        ((torch.ones(2, 3), torch.ones(2, 3)), False),  # shorter than it was compiled for
        ((torch.ones(2, 3), torch.ones(3, 4)), False),  # windows of two numbers
        ((torch.ones(2, 4), torch.ones(2, 4)), False),
        ((torch.ones(2, 3), torch.ones(2, 4, dtype=torch.float64)), False),
        ((torch.ones(2, 3), torch.ones(2, 4, 1)), False),
        ((torch.ones(2, 3),), False),
        ((torch.ones(2, 3), 5.0), False),
        ((torch.ones(2, 3), np.ones(3)), False),
    ],
)
def test_native_code_sees_only_calls_that_it_was_compiled_for(
    args: tuple[Any, ...], is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(Sum())
    seen: list[Sequence[Tensor]] = []
    monkeypatch.setattr(running, "open_package", lambda _: lambda *tensors: seen.append(tensors) or Sum()(*tensors))
    whole = Compiled(target=running.find_target("cpu"), parts=(PART,))
    assert running.run_compiled(model, whole, {PACKAGE: b""}, lambda: [torch.ones(1)], "cpu") == ("0",)
    assert torch.equal(model[0](*args), Sum()(*args))
    assert bool(seen) is is_native


def test_native_code_is_given_rows_of_memory_and_never_the_same_row_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(Sum())
    seen: list[Tensor] = []
    monkeypatch.setattr(running, "open_package", lambda _: lambda *tensors: seen.extend(tensors) or tensors[0])
    part = replace(PART, tensors=(("torch.float32", ("n", 3)), ("torch.float32", ("n", 1))), least={})
    running.run_compiled(
        model,
        Compiled(target=running.find_target("cpu"), parts=(part,)),
        {PACKAGE: b""},
        lambda: [torch.ones(1)],
        "cpu",
    )
    model[0](torch.ones(3, 4).T[:, :3], torch.ones(4, 1).expand(4, 7))
    assert [(tensor.shape, tensor.is_contiguous()) for tensor in seen] == [((4, 3), True), ((4, 1), True)]


@pytest.mark.parametrize("kind", ["nested", "sparse"])
def test_what_has_no_rows_is_not_given_to_native_code(kind: str) -> None:
    rows = torch.ones(2, 3)
    tensor = rows.to_sparse() if kind == "sparse" else torch.nested.nested_tensor([rows, rows[:1]])
    with pytest.raises(TypeError, match=f"found a {kind}"):
        flatten({"x": tensor}, [])

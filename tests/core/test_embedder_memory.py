"""Memory that cannot be had: a batch is halved, pressure refuses no window, and one that asks for too much is alone."""

import re
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.core.test_embedder import RAISES, B, Model, make, make_windows, reference
from undertow.core.embedder import CPU_STEPS
from undertow.core.errors import Unavailable
from undertow.core.memory import GROW_AFTER, StepBudget, is_short_of_memory
from undertow.schemas.records import REASONS

SHORT = {
    "Python's": MemoryError,
    "CUDA's": torch.cuda.OutOfMemoryError,
    "torch's on the CPU": lambda: torch.empty(1 << 50),
    "numpy's": lambda: np.empty(1 << 50),
}


def run_short(how: Any) -> None:
    raised = how()
    assert isinstance(raised, BaseException), "there was memory"
    raise raised


class Pressed(Model):
    """Has memory for so many windows, and in the next forwards for none; one kind of window asks for too much."""

    def __init__(self, how: Any = MemoryError, *, room: int = 1 << 30, pressed_for: int = 0) -> None:
        super().__init__()
        self.how, self.most, self.pressed_for = how, room, pressed_for

    def forward(self, x: dict[str, Any]) -> Tensor:
        first = x["encoder_cont"][:, 0, 1] * B.scale + B.center
        self.pressed_for -= 1
        if self.pressed_for >= 0 or len(first) > self.most or bool(torch.isclose(first, torch.tensor(RAISES)).any()):
            self.sizes.append((len(first), 0))
            run_short(self.how)
        result: Tensor = super().forward(x)
        return result


@pytest.mark.parametrize("how", SHORT.values(), ids=SHORT)
def test_one_window_that_asks_for_too_much_is_refused_for_memory_and_its_neighbours_are_embedded(how: Any) -> None:
    model, windows = Pressed(how), make_windows([5, 5, 3, 5, 5], {3: RAISES})
    embedded = make(model).embed(windows)
    assert embedded.rows.tolist() == [0, 1, 2, 4]
    expected = reference(model, windows.take(embedded.rows))
    np.testing.assert_allclose(embedded.embeddings.features["hidden"], expected, rtol=0, atol=1e-6)
    (fault,) = embedded.faults
    assert (fault.row, fault.reason, fault.reason in REASONS) == (3, "memory", True)
    assert re.match(r"no memory for this window alone, tried twice, while others found some: \w+Error: ", fault.detail)


@pytest.mark.parametrize("how", SHORT.values(), ids=SHORT)
def test_a_batch_that_does_not_fit_is_halved_and_refuses_nothing(how: Any) -> None:
    model, windows = Pressed(how, room=4), make_windows([5] * 16)
    embedder = make(model)
    embedded = embedder.embed(windows)
    assert (embedded.faults, embedder.max_windows) == ((), None)
    np.testing.assert_allclose(embedded.embeddings.features["hidden"], reference(model, windows), rtol=0, atol=1e-6)
    model.sizes.clear()
    embedder.embed(windows)
    assert max(model.sizes)[0] <= model.most


@pytest.mark.parametrize("pressed_for", range(1, 12))
def test_pressure_that_passes_refuses_no_window_wherever_it_ends(pressed_for: int) -> None:
    model, windows = Pressed(pressed_for=pressed_for), make_windows([5] * 8)
    embedder = make(model)
    try:
        embedded = embedder.embed(windows)
    except Unavailable:  # short for windows known to be good, too: whoever reads this comes again
        model.pressed_for = 0
        embedded = embedder.embed(windows)
    assert embedded.faults == ()
    np.testing.assert_allclose(embedded.embeddings.features["hidden"], reference(model, windows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", SHORT.values(), ids=SHORT)
def test_memory_that_is_short_for_any_window_is_waited_for_and_refuses_none(how: Any) -> None:
    with pytest.raises(Unavailable, match="cpu has no memory for the forward of one window; free some"):
        make(Pressed(how, pressed_for=100)).embed(make_windows([5] * 3))


def test_forwards_are_as_large_as_before_once_pressure_has_passed() -> None:
    room = StepBudget(CPU_STEPS)
    room.lower(CPU_STEPS)
    room.lower(40)
    assert room.steps == 20
    for _ in range(GROW_AFTER * 20):
        room.fitted()
    assert room.steps == CPU_STEPS


def test_what_a_forward_without_memory_held_is_let_go_before_the_next() -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    class Holding(Model):
        def forward(self, x: dict[str, Any]) -> Tensor:
            mine = torch.empty(10)
            alive.append(sum(one() is not None for one in held))
            held.append(weakref.ref(mine))
            if len(x["encoder_lengths"]) > 4:
                raise MemoryError
            result: Tensor = super().forward(x)
            return result

    make(Holding()).embed(make_windows([5] * 8))
    assert alive == [0, 0, 0]


@pytest.mark.parametrize(
    "error",
    [RuntimeError("index 4 is out of bounds"), ValueError("out of memory"), OSError(2, "No such file"), KeyError("x")],
    ids=repr,
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_short_of_memory(error)


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), RuntimeError("std::bad_alloc")], ids=repr)
def test_it_is_known_in_other_words_too(error: Exception) -> None:
    assert is_short_of_memory(error)

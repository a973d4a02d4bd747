"""Taps on small modules, held against the unhooked model."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from undertow.core.errors import Refused
from undertow.core.features import Feature, Tap
from undertow.core.taps import Taps, list_taps


class Block(nn.Module):
    """A tapped layer, an in-place activation after it, a layer under two names, a part that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Linear(4, 4)
        self.alias = self.second
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(4, 4)
        self.ends = 0

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(self.act(self.first(x)))
        hidden = self.second(self.second(hidden))
        self.ends += 1
        return hidden


class Recurrent(nn.Module):
    """An LSTM whose output is nested, called once for a sequence and once for each of its last states."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, num_layers=2, batch_first=True)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        out, state = self.rnn(x)
        again, _ = self.rnn(x[:, :1], state)
        return {"out": out, "again": again}


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.mha(x, x, x)
        return out


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    return Block()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def run(model: nn.Module, x: Tensor, *texts: str) -> list[Tensor]:
    taps = [Tap.parse(text) for text in texts]
    with Taps(model, taps) as running:
        found = running.run(x)
    return [found[tap] for tap in taps]


def test_a_tap_gives_what_the_module_gives(block: Block, x: Tensor) -> None:
    assert torch.equal(run(block, x, "first")[0], block.first(x))


def test_the_forward_ends_at_the_tap(block: Block, x: Tensor) -> None:
    run(block, x, "first")
    assert block.ends == 0


def test_the_forward_ends_at_the_last_of_several_taps_in_whatever_order_they_are_named(block: Block, x: Tensor) -> None:
    later, earlier = run(block, x, "second#0", "first")
    assert torch.equal(later, block.second(torch.relu(earlier)))
    assert block.ends == 0


def test_an_operation_in_place_after_a_tap_does_not_alter_it(block: Block, x: Tensor) -> None:
    early, _ = run(block, x, "first", "second")
    assert (early < 0).any()
    assert torch.equal(early, block.first(x))


def test_each_call_of_a_module_is_a_point_of_its_own(block: Block, x: Tensor) -> None:
    once, twice = run(block, x, "second#0", "second#1")
    assert torch.equal(twice, block.second(once))


def test_two_names_of_one_module_tap_the_same_calls(block: Block, x: Tensor) -> None:
    alias, second = run(block, x, "alias#1", "second#1")
    assert torch.equal(alias, second)


def test_dropout_is_off_and_no_gradient_is_kept(block: Block, x: Tensor) -> None:
    block.train()
    with torch.inference_mode(mode=False), Taps(block, [Tap(path="drop")]) as taps:
        once, again = taps.run(x)[Tap(path="drop")], taps.run(x)[Tap(path="drop")]
    assert torch.equal(once, again)
    assert once.is_inference()
    assert not once.requires_grad


def test_elements_of_a_nested_output_can_be_selected() -> None:
    model, x = Recurrent().eval(), torch.randn(2, 7, 3)
    out, (h, c) = model.rnn(x)
    found = run(model, x, "rnn", "rnn[0]", "rnn[1]", "rnn[1][1]")
    for one, expected in zip(found, (out, out, h, c), strict=True):
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-7)


def test_a_selection_that_finds_no_tensor_says_what_there_is() -> None:
    with pytest.raises(Refused, match=r"rnn#0\[2\] selects no tensor; there is .*rnn#0\[1\]\[1\] \(2, 2, 5\)"):
        run(Recurrent(), torch.randn(2, 7, 3), "rnn[2]")


def test_a_wrong_path_is_refused_with_the_closest_ones(block: Block) -> None:
    with pytest.raises(Refused, match=r'no module "frist" in Block; closest: "first".*undertow taps'):
        Taps(block, [Tap(path="frist")])


def test_the_whole_model_is_no_tap(block: Block) -> None:
    with pytest.raises(Refused, match='no module ""'):
        Taps(block, [Tap(path="")])


def test_a_tap_that_never_fires_is_refused() -> None:
    with pytest.raises(Refused, match=r"mha.out_proj#0 is a module of Attention, but the forward never calls it"):
        run(Attention(), torch.randn(2, 3, 4), "mha.out_proj")


def test_a_call_that_is_never_reached_is_refused(block: Block, x: Tensor) -> None:
    with pytest.raises(Refused, match=r"second#5 asks for call 5, counted from 0, but one forward of Block calls it 2"):
        run(block, x, "second#5")


def test_a_failed_run_leaves_nothing_behind_for_the_next(block: Block, x: Tensor) -> None:
    tap = Tap(path="second")
    with Taps(block, [tap]) as taps:
        with pytest.raises(RuntimeError):
            taps.run(torch.randn(6, 99))
        found = taps.run(x)[tap]
    assert torch.equal(found, run(block, x, "second")[0])


def test_a_closed_tap_leaves_no_hook(block: Block, x: Tensor) -> None:
    run(block, x, "first", "second")
    list_taps(block, x)
    assert not any(module._forward_hooks for module in block.modules())


def test_somebody_elses_forward_through_a_tapped_model_runs_to_its_end(block: Block, x: Tensor) -> None:
    with Taps(block, [Tap(path="first")]):
        block(x)
    assert block.ends == 1


def test_two_sets_of_taps_on_one_model_do_not_meet(block: Block, x: Tensor) -> None:
    first, second = Tap(path="first"), Tap(path="second", call=1)
    with Taps(block, [first]) as one, Taps(block, [second]) as other:
        assert list(one.run(x)) == [first]
        assert list(other.run(x)) == [second]


@pytest.fixture
def _one_computing_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_computing_thread")
def test_four_threads_on_one_model_never_see_each_others_hidden_states() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
    early, late = Tap(path="0"), Tap(path="2")
    inputs = [torch.full((5, 3), float(k)) for k in range(4)]
    expected = [(model[0](x), model[:3](x)) for x in inputs]
    start = threading.Barrier(4)
    with Taps(model, [early, late]) as taps, ThreadPoolExecutor(4) as pool:

        def work(k: int) -> int:
            start.wait()
            wrong = 0
            for _ in range(150):
                found = taps.run(inputs[k])
                wrong += not (torch.equal(found[early], expected[k][0]) and torch.equal(found[late], expected[k][1]))
            return wrong

        assert list(pool.map(work, range(4))) == [0, 0, 0, 0]


def test_the_list_names_everything_that_fires_with_calls_and_shapes(block: Block, x: Tensor) -> None:
    listed = {info.paths[0]: info for info in list_taps(block, x)}
    assert list(listed) == ["first", "act", "drop", "second"]
    assert (listed["second"].kind, listed["second"].paths) == ("Linear", ("second", "alias"))
    assert [[tuple(t.shape) for _, t in call.tensors] for call in listed["second"].calls] == [[(6, 4)], [(6, 4)]]


def test_the_list_says_when_each_point_was_reached(block: Block, x: Tensor) -> None:
    ticks = itertools.count(100)
    listed = list_taps(block, x, clock=lambda: next(ticks))
    assert [[call.reached for call in info.calls] for info in listed] == [[1 / 6], [2 / 6], [3 / 6], [4 / 6, 5 / 6]]


def test_a_model_that_fails_is_listed_as_far_as_it_ran_if_it_may(block: Block, x: Tensor) -> None:
    block.second = nn.Linear(9, 9)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list_taps(block, x)
    assert [info.paths for info in list_taps(block, x, may_fail=True)] == [("first",), ("act",), ("drop",)]


def test_every_point_of_the_list_can_be_tapped() -> None:
    model, x = Recurrent(), torch.randn(2, 7, 3)
    points = {
        Tap(path=info.paths[0], call=number, select=select): tuple(tensor.shape)
        for info in list_taps(model, x)
        for number, call in enumerate(info.calls)
        for select, tensor in call.tensors
    }
    assert len(points) == 6
    with Taps(model, list(points)) as taps:
        assert {tap: tuple(tensor.shape) for tap, tensor in taps.run(x).items()} == points


@pytest.mark.parametrize("text", ["rnn#0", "a.0.b#3[1][0]", "blocks.1#0[hidden]"])
def test_the_text_of_a_tap_reads_back(text: str) -> None:
    assert str(Tap.parse(text)) == text


@pytest.mark.parametrize("text", ["", "rnn#", "rnn#x", "rnn[", "rnn[]", "rnn[0", "#1"])
def test_a_text_that_is_no_tap_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="expected a tap such as"):
        Tap.parse(text)


def test_a_feature_is_read_from_its_text() -> None:
    assert Feature.parse("rnn#1[0]:last+mean") == Feature(tap=Tap(path="rnn", call=1, select=(0,)), pool="last+mean")
    assert Feature.parse("rnn").pool == "auto"


@pytest.mark.parametrize(
    ("pool", "message"), [("median", "no pooling 'median'"), ("last+none", "nothing can be joined")]
)
def test_a_pooling_that_does_not_exist_is_refused(pool: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        Feature.parse(f"rnn:{pool}")

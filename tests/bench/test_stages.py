"""The benchmark's account of who used the CPU, and where its tables go."""

import time

import pytest

from tests.bench.readme import replaced
from tests.bench.stages import REST, Stages


class Loop:
    """An outer stage that calls an inner one."""

    def outer(self) -> str:
        burn(0.04)
        return self.inner()

    def inner(self) -> str:
        burn(0.08)
        return "done"


def burn(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_a_stage_counts_its_own_cpu_and_not_that_of_the_stages_it_calls():
    loop, stages = type("Counted", (Loop,), {}), Stages()
    stages.count("outer", loop, "outer")
    stages.count("inner", loop, "inner")
    loop().outer()
    stages.start()
    assert loop().outer() == "done"
    spent = stages.stop()
    assert 0.04 <= spent["outer"] < 0.08 <= spent["inner"] < 0.12


def test_all_stages_together_are_what_the_process_used():
    loop, stages = type("Counted", (Loop,), {}), Stages()
    stages.count("inner", loop, "inner")
    stages.start()
    began = time.process_time()
    loop().outer()
    spent = stages.stop()
    assert spent[REST] >= 0.04
    assert abs(sum(spent.values()) - (time.process_time() - began)) < 0.02


def test_a_stage_that_raises_is_counted_and_what_called_it_goes_on():
    loop, stages = type("Counted", (Loop,), {"inner": lambda _self: burn(0.04) or 1 / 0}), Stages()
    stages.count("inner", loop, "inner")
    stages.start()
    with pytest.raises(ZeroDivisionError):
        loop().inner()
    assert stages.stop()["inner"] >= 0.04


def test_a_table_is_put_between_its_marks_and_nowhere_else():
    readme = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\nkept\n<!-- y: end -->\n"
    assert replaced(readme, "x", "\n| 1 \\d |  \n") == readme.replace("old", "| 1 \\d |")
    with pytest.raises(ValueError, match="expected the marks <!-- z: begin -->"):
        replaced(readme, "z", "new")

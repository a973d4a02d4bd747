"""What the manual leaves out it says, what it names is there, and README leads to it."""

import re
from pathlib import Path

import pytest

from tests.docs.conftest import STORY
from tests.markdown import FENCE, blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path for room in ("tutorial", "how-to", "explanation", "examples") for path in (DOCS / room).glob("*.md")
)
NOT_RUN = {"tests/test_readme.py runs it", "it takes two machines", "the addresses are made up"}
"""Why a block may be left out; nothing else is a reason."""
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def name_of(page):
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_says_why_not(page):
    text = page.read_text()
    found = list(blocks(text))
    assert len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)) == 2 * len(FENCE.findall(text))  # none is passed over
    assert {block.not_run for block in found} <= NOT_RUN | {None}
    if any(block.not_run is None and block.language != "text" for block in found):
        assert name_of(page) in STORY


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_left_to_the_readme_stands_there(page):
    shown = {line for block in blocks((ROOT / "README.md").read_text()) for line in block.text.splitlines()}
    left = [block for block in blocks(page.read_text()) if block.not_run == "tests/test_readme.py runs it"]
    commands = [line for block in left if block.language == "bash" for line in block.text.splitlines()]
    assert [line for line in commands if not any(one.startswith(line) for one in shown)] == []


def test_the_steps_of_the_demo_are_those_that_it_shows():
    flow = (ROOT / "workers/demo/flow.py").read_text()
    steps = re.findall("^✓ (.+)$", (DOCS / "tutorial/demo.md").read_text(), re.MULTILINE)
    assert len(steps) > 4
    assert [step for step in steps if step not in flow] == []


def test_every_test_that_holds_a_guarantee_is_there():
    named = TEST.findall((DOCS / "explanation/guarantees.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test}"


def test_every_guarantee_names_a_test():
    sections = (DOCS / "explanation/guarantees.md").read_text().split("\n## ")[1:]
    assert [one.splitlines()[0] for one in sections if not TEST.search(one)] == ["What is not guaranteed"]


def test_the_readme_leads_to_a_project_of_ones_own_and_to_the_manual():
    readme = (ROOT / "README.md").read_text()
    assert "`undertow init" in readme
    for room in ("tutorial", "how-to", "explanation", "examples"):
        assert re.search(rf"\]\(docs/{room}/[\w./-]*\)", readme), room

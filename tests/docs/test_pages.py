"""Whoever follows a page of the manual gets what it says: each of its blocks is run, in order, in one project."""

from pathlib import Path

import pytest

from tests.docs.follow import Reader

DOCS = Path(__file__).parents[2] / "docs"
STORY = ("how-to/own-model.md", "how-to/backfill.md", "how-to/own-data.md", "how-to/replay.md")
"""Pages that build on each other, in this order. The first makes the project."""

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def followed():
    """The pages that were followed already."""
    return set()


@pytest.mark.parametrize("page", STORY)
def test_every_block_of_a_page_does_what_the_page_says(page, project, followed):
    for one in STORY[: STORY.index(page) + 1]:
        if one not in followed:
            Reader(*project).follow(DOCS / one)
            followed.add(one)

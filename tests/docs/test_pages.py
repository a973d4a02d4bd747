"""Whoever follows a page of the manual gets what it says: each of its blocks is run, in order, in one project."""

import pytest

from tests.docs.conftest import STORY

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(900)]


@pytest.mark.parametrize("page", STORY)
def test_every_block_of_a_page_does_what_the_page_says(page, follow):
    follow(page)

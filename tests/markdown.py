"""Fenced blocks of a Markdown page, as those who follow it take them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+\.\w+)`:$")
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, its line, and what the line before it says of it."""

    language: str
    text: str
    line: int
    file: str | None
    """What it is saved as: the line before ends with the name as code and a colon."""
    not_run: str | None
    """Why it is only to be read, by a comment before it."""


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in their order."""
    for found in FENCE.finditer(page):
        before = page[: found.start()].rstrip().rpartition("\n")[2]
        file, not_run = FILE.search(before), NOT_RUN.search(before)
        yield Block(
            language=found[1],
            text=found[2],
            line=page.count("\n", 0, found.start()) + 1,
            file=file and file[1],
            not_run=not_run and not_run[1],
        )

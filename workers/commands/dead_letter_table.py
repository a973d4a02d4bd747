"""Dead letters as `undertow replay` shows them: as a table, or as blocks if the terminal is narrow.

In: letters, and what would happen to each if sent now. Out: text for a console. Knows neither Kafka nor artifacts.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from undertow.adapters.kafka_replay import DeadLetter
from undertow.core.readable import readable
from undertow.schemas.times import format_times
from undertow.schemas.wording import counted

SHOWN = 40
LONGEST_CELL = 500
COLUMNS = ("refused at", "from", "by", "reason", "detail", "if sent now")
NARROW = 160
"""Below this width, in characters, letters are shown as blocks: time, place, view and reason take 110, and two
sentences side by side in the rest would break after each word."""

Judged = tuple[DeadLetter, str | None]
"""A letter, and why it would be refused again; None where it would be taken."""


def letters_for(judged: Collection[Judged], width: int) -> Group:
    """Return a line with the number of letters, and below it the oldest ones, for a terminal of this width."""
    counts = Counter(letter.reason for letter, _ in judged)
    by_reason = ", ".join(f"{readable(reason, LONGEST_CELL)} {count:,}" for reason, count in sorted(counts.items()))
    title = Text(counted(len(judged), "dead letter") + (f": {by_reason}" if by_reason else ""))
    rows = [*islice(_rows(judged), SHOWN)]
    shown: list[Table | Text] = [_table(rows)] if width >= NARROW else [_block(row) for row in rows]
    if (more := len(judged) - SHOWN) > 0:
        shown.append(Text(f"and {counted(more, 'younger one')} (choose by --reason, --since, --until, --limit)"))
    return Group(title, *(shown if rows else ()))


def _rows(judged: Collection[Judged]) -> Iterator[list[str]]:
    times = format_times(np.array([letter.at_us for letter, _ in judged], np.int64))
    for at, (letter, fault) in zip(times, judged, strict=True):
        place = f"{letter.origin}@{letter.origin_offset}"
        told = (place, letter.view, letter.reason, letter.detail, fault or "taken")
        yield [at, *(readable(one, LONGEST_CELL) for one in told)]


def _table(rows: list[list[str]]) -> Table:
    table = Table()
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text, so that brackets in a producer's data are not markup
    return table


def _block(row: list[str]) -> Table:
    block = Table.grid(padding=(0, 2))
    block.add_column(no_wrap=True, style="bold")
    block.add_column(overflow="fold")
    for name, cell in zip(COLUMNS, row, strict=True):
        block.add_row(name, Text(cell))
    block.add_row("", "")
    return block


def to_json(letter: DeadLetter, fault: str | None) -> dict[str, object]:
    """Return one letter as plain data; times are ISO 8601 in UTC, unknown values are null."""
    (at,) = format_times(np.array([letter.at_us], np.int64))
    is_known = letter.origin.index >= 0
    return {
        "letter": letter.place,
        "refused_at": at,
        "topic": letter.origin.topic or None,
        "partition": letter.origin.index if is_known else None,
        "offset": letter.origin_offset if is_known else None,
        "artifact": letter.artifact or None,
        "view": letter.view or None,
        "reason": letter.reason,
        "detail": letter.detail,
        "refused_again": fault,
    }

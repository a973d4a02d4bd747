"""The terminal that commands print to.

In: whatever rich can show. Out: the same, without a letter that steers the terminal. Knows no command.
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from undertow.core.readable import readable


class Terminal(Console):
    """A `Console` that takes no text for markup: paths, names and messages may well hold `[/red]` or `:bug:`.

    What a letter would do to the terminal (ESC, BEL, the direction of text) is shown instead of done; colours are given
    as `rich.text.Text`.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of `Console`."""
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of anything that is printed; rich's own control codes have segments of their own."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                lines = map(readable, segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)

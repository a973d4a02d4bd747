"""What the demonstration shows: the line while it streams, the table at its end.

In: plain numbers. Out: rich renderables. Knows not where the numbers come from.
"""

from collections.abc import Sequence

from rich.table import Table

from undertow.demo.classify import Score


def comparison(scores: Sequence[Score], *, windows: int, wearers: int) -> Table:
    """Show how well each set of features tells exercises, the best in bold."""
    best = max(score.accuracy for score in scores)
    title = f"Which exercise is it? {windows:,} windows of {wearers} unseen wearers"
    table = Table(title=title, title_justify="left", min_width=len(title) + 1)
    table.add_column("features")
    table.add_column("numbers", justify="right")
    table.add_column("accuracy", justify="right")
    for score in scores:
        style = "bold" if score.accuracy == best else None
        table.add_row(score.features, str(score.size), f"{score.accuracy:.3f}", style=style)
    return table


def live_line(
    *,
    windows: int,
    total: int,
    per_second: float,
    lag: int | None,
    rejects: int,
    p50_ms: float | None,
    p99_ms: float | None,
    accuracy: float | None,
) -> str:
    """Say in one line how the stream does."""
    return " · ".join(
        (
            f"{windows:,} of {total:,} windows",
            f"{per_second:.0f} windows/s",
            *([f"lag {lag}"] if lag is not None else []),
            f"rejects {rejects}",
            f"append to readable p50 {_shown(p50_ms, '{:.0f} ms')}, p99 {_shown(p99_ms, '{:.0f} ms')}",
            f"accuracy so far {_shown(accuracy, '{:.3f}')}",
        )
    )


def _shown(value: float | None, text: str) -> str:
    return "-" if value is None else text.format(value)

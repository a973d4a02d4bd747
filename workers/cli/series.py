"""`undertow series`: list the series that have vectors, with their newest event times.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from pathlib import Path

import click

from undertow.cli.options import seconds, settings_options
from undertow.cli.paths import LocalPathType
from undertow.telemetry.output import say


@click.command()
@click.option("--older", "older_s", callback=seconds, metavar="6h", help="Only series without a newer event time.")
@click.option("--newer", "newer_s", callback=seconds, metavar="6h", help="Only series with an event time since then.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Show at most so many.")
@click.option(
    "-o",
    "--output",
    type=LocalPathType(dir_okay=False),
    metavar="OUT.parquet",
    help="Also write all of them to this file: ids, event_timestamp, created, rows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
@settings_options
def series(
    older_s: int | None,
    newer_s: int | None,
    limit: int,
    output: Path | None,
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """List the series that have vectors, newest first.

    From the offline log: when each series' newest window ends, when its last one was delivered, how many rows there are
    (a window that was delivered twice is two). It reads no vectors, and its memory is bounded by
    offline.read_memory_bytes.

    \b
    undertow series --older 1d
    undertow series --limit 0 -o series.parquet
    """
    from time import time

    from undertow.history.known_series import json_lines, run, summary, table_for
    from undertow.schemas.times import Span
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    now_us = int(time() * 1e6)
    wanted = Span(
        since_us=None if newer_s is None else now_us - newer_s * 1_000_000,
        until_us=None if older_s is None else now_us - older_s * 1_000_000 + 1,
    )
    known = run(load(overrides), wanted, show=limit, output=output)
    if as_json:
        say(*json_lines(known))
        return
    if len(known.shown):
        Terminal().print(table_for(known))
    say(summary(known))
    if output is not None:
        say(f"{output}: {known.wanted:,} series")

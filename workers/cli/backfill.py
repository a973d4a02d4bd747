"""`undertow backfill`: embed history from Parquet.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import sys

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import HistoryType
from undertow.storage.store_path import AnyPath


@click.command()
@click.argument("history", type=HistoryType())
@click.option("--job", help="Name under which a stopped job resumes; default: the name of the file or folder.")
@settings_options
def backfill(history: AnyPath, overrides: tuple[str, ...], job: str | None) -> None:
    """Embed history from Parquet.

    The vectors go to the same offline log as the stream's, the newest of each series also to the online store. A job
    that was stopped resumes where it was. Each row is a window; `undertow describe` shows the columns and an example.
    With windows.every set, it may be an observation: ids, a time, values (undertow settings windows).

    \b
    undertow backfill history.parquet
    undertow backfill s3://bucket/history
    """
    from undertow.backfill.run import run as run_backfill
    from undertow.settings.settings import load, reached
    from undertow.telemetry.terminal import Terminal

    settings = load(overrides)
    reports = run_backfill(settings, reached(history, settings, "HISTORY"), Terminal(), job=job)
    sys.exit(1 if any(report.took_nothing or report.faults for report in reports) else 0)

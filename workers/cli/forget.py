"""`undertow forget`: delete all rows of series, from history and from the online store.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import sys
from pathlib import Path

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import ExistingPathType
from undertow.telemetry.output import say


@click.command()
@click.argument("name")
@click.option(
    "--series",
    multiple=True,
    metavar="ID=VALUE",
    help="A series, by all its ids: site=a,lap=3, or as JSON where a value is ambiguous. May be given again.",
)
@click.option(
    "--series-file",
    "file",
    type=ExistingPathType(dir_okay=False),
    metavar="FILE",
    help="CSV (*.csv) or Parquet with a column for each id, a series in each row.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@click.option("--now", "is_now", is_flag=True, help="Delete replaced files of the table at once, under open readers.")
@click.option(
    "--skip-online", "skips_online", is_flag=True, help="Leave the online store alone, one that cannot delete."
)
@settings_options
def forget(
    name: str,
    series: tuple[str, ...],
    file: Path | None,
    overrides: tuple[str, ...],
    *,
    is_dry: bool,
    is_sure: bool,
    is_now: bool,
    skips_online: bool,
) -> None:
    """Delete all rows of series, for ever.

    NAME is the name of an artifact, for all its spaces, or of one view. The rows leave the offline log (chains,
    backfills and the table), the online store, and what a fleet holds of raw observations, for which a fleet that runs
    is waited for. It may run beside everything else, be killed and repeated; exit code 0 says that nothing is left.
    Replaced files of the table stay a day for readers, unless --now is given.

    What it cannot reach: records in Kafka and dead letters, rows that a running fleet has not yet written, backups.

    \b
    undertow forget watch --series wearer=s08 --dry-run
    undertow forget watch --series-file leavers.csv --yes
    """
    from undertow.fleet.lease_places import is_alive
    from undertow.history.forgetting import Asked, run
    from undertow.settings.settings import load

    asked = Asked(
        name=name,
        series=series,
        file=file,
        is_dry=is_dry,
        is_sure=is_sure,
        is_now=is_now,
        skips_online=skips_online,
    )
    ask = _ask if sys.stdin is not None and sys.stdin.isatty() else None
    is_done = run(load(overrides), asked, say, ask, is_alive=is_alive)
    sys.exit(0 if is_done else 1)


def _ask(question: str) -> bool:
    return click.confirm(question)

"""`undertow join`: join rows with the vectors of their times (a point-in-time join).

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from pathlib import Path

import click

from undertow.cli.options import seconds, settings_options
from undertow.cli.paths import ExistingPathType, LocalPathType
from undertow.telemetry.output import say


@click.command()
@click.argument("rows", type=ExistingPathType(dir_okay=False), metavar="ROWS.parquet")
@click.option(
    "-o",
    "--output",
    type=LocalPathType(dir_okay=False),
    required=True,
    metavar="OUT.parquet",
    help="File to write: the rows with their vectors.",
)
@click.option(
    "--time", default="event_timestamp", show_default=True, metavar="COLUMN", help="Column with the rows' times."
)
@click.option(
    "--tolerance", "tolerance_s", callback=seconds, metavar="6h", help="How old a vector may be; default: any age."
)
@click.option("--prefix", default="", metavar="TEXT", help="Prefix for the names of all new columns.")
@click.option("--bare", "is_bare", is_flag=True, help="Add only the features, without found and age_seconds.")
@settings_options
def join(
    rows: Path,
    output: Path,
    overrides: tuple[str, ...],
    time: str,
    tolerance_s: int | None,
    prefix: str,
    *,
    is_bare: bool,
) -> None:
    """Join rows with vectors, point in time.

    Each row of ROWS.parquet gets the newest vectors of its series at or before its own time, from the offline log. The
    file has the id columns and a timestamp (UTC if it has no zone). Rows keep their order and their columns; those
    without a vector get nulls. No ttl applies. Memory is bounded by offline.read_memory_bytes.

    \b
    undertow join labels.parquet -o training.parquet --tolerance 6h
    """
    from undertow.adapters.offline_root import view_folder
    from undertow.artifact.format.manifest import read_manifest
    from undertow.history.join import join as join_rows
    from undertow.settings.artifact_paths import only
    from undertow.settings.settings import load

    settings = load(overrides)
    view = read_manifest(only(settings.model.artifacts)).view()
    joined = join_rows(
        rows,
        output,
        log=view_folder(settings.offline.path.absolute(), view),
        view=view,
        read_memory_bytes=settings.offline.read_memory_bytes,
        time=time,
        tolerance_s=tolerance_s,
        prefix=prefix,
        is_bare=is_bare,
    )
    say(f"{output}: {joined.found:,} of {joined.rows:,} rows found vectors of {view.view}")

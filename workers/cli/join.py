"""`undertow join`: rows with the vectors of their times.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

from pathlib import Path

import click

from undertow.cli.options import seconds, settings_options
from undertow.cli.paths import ExistingPathType, LocalPathType


@click.command()
@click.argument("rows", type=ExistingPathType(dir_okay=False), metavar="ROWS.parquet")
@click.option(
    "-o",
    "--output",
    type=LocalPathType(dir_okay=False),
    required=True,
    metavar="OUT.parquet",
    help="The rows with their vectors beside them.",
)
@click.option("--time", default="event_timestamp", show_default=True, metavar="COLUMN", help="The rows' own times.")
@click.option(
    "--tolerance", "tolerance_s", callback=seconds, metavar="6h", help="How old a vector may be; default: any age."
)
@click.option("--prefix", default="", metavar="TEXT", help="Put before the names of all new columns.")
@click.option("--bare", "is_bare", is_flag=True, help="Add the features alone, without found and age_seconds.")
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
    """Give each row the newest vectors of its series at or before its time, from the offline log.

    ROWS.parquet has the id columns and a timestamp (without a zone it is UTC). Its rows keep their order and their
    columns; those that find nothing have nulls. No ttl counts here, and memory is bounded by offline.read_memory_bytes.

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
        memory_bytes=settings.offline.read_memory_bytes,
        time=time,
        tolerance_s=tolerance_s,
        prefix=prefix,
        is_bare=is_bare,
    )
    click.echo(f"{output}: {joined.found:,} of {joined.rows:,} rows found vectors of {view.view}")

"""The commands for whoever uses the history: rows joined with vectors, and an online store filled again.

In: arguments. Out: text, a Parquet file. Knows no rule. Heavy imports stand inside the commands.
"""

from pathlib import Path

import click

from workers.cli_duration import seconds
from workers.cli_model import settings_options
from workers.option_paths import ExistingPathType, LocalPathType


@click.command()
@click.argument("rows", type=ExistingPathType(dir_okay=False), metavar="ROWS.parquet")
@click.option("-o", "--output", type=LocalPathType(dir_okay=False), required=True, metavar="OUT.parquet")
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
    from workers.adapters.offline_root import view_folder
    from workers.artifact.manifest import read_manifest
    from workers.artifact_paths import only
    from workers.history.join import join as join_rows
    from workers.settings import load

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


@click.command()
@settings_options
def rebuild(overrides: tuple[str, ...]) -> None:
    """Fill the online store from the offline log: after it was lost, or another one was chosen (feast.config).

    Each series' newest vectors are written unless the store holds newer ones, so it may run beside a fleet, and be
    started again at any time. `undertow check` tells whether it is needed.

    \b
    undertow apply --set feast.config=feature_store.redis.yaml
    undertow rebuild --set feast.config=feature_store.redis.yaml
    """
    from workers.history.rebuild import run
    from workers.settings import load
    from workers.terminal import Terminal

    run(load(overrides), Terminal())

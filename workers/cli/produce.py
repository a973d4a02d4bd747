"""`undertow produce`: send windows or observations from Parquet to Kafka.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import sys

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import HistoryType
from undertow.storage.store_path import AnyPath


@click.command()
@click.argument("history", type=HistoryType())
@click.option("--topic", help="Topic to send to; default: kafka.topic.")
@click.option("--format", "form", help="json, arrow, avro or avro-confluent; default: kafka.format.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=1000,
    show_default=True,
    help="Windows, or observations, per second.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Windows, or observations, in one Arrow record.",
)
@click.option(
    "--create-topic",
    type=click.IntRange(min=1),
    metavar="PARTITIONS",
    help="Create the topic with this many partitions, if missing.",
)
@settings_options
def produce(
    history: AnyPath,
    overrides: tuple[str, ...],
    topic: str | None,
    form: str | None,
    rate: float,
    batch: int,
    create_topic: int | None,
) -> None:
    """Send windows or observations from Parquet to Kafka.

    Takes the files that `undertow backfill` takes. Where records hold observations (kafka.content), files of these are
    sent as they are, in order of time; else windows are made of them. All of a series goes to the same partition.

    \b
    undertow produce history.parquet --topic windows --format arrow --rate 5000
    """
    from undertow.commands.produce import produce as run_produce
    from undertow.settings.settings import load, reached
    from undertow.telemetry.terminal import Terminal

    given = [f"kafka.{name}={value}" for name, value in (("topic", topic), ("format", form)) if value is not None]
    settings = load([*overrides, *given])
    source = reached(history, settings, "HISTORY")
    sent = run_produce(settings, source, Terminal(), per_second=rate, batch=batch, create_partitions=create_topic)
    sys.exit(0 if sent else 1)

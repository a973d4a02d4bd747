"""`undertow produce`: windows from Parquet into Kafka.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

import sys
from pathlib import Path

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import ExistingPathType


@click.command()
@click.argument("history", type=ExistingPathType())
@click.option("--topic", help="Where to; default: kafka.topic.")
@click.option("--format", "form", help="json, arrow, avro or avro-confluent; default: kafka.format.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=1000, show_default=True, help="Windows a second."
)
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Windows in an Arrow record.")
@click.option(
    "--create-topic", type=click.IntRange(min=1), metavar="PARTITIONS", help="Make the topic if it is missing."
)
@settings_options
def produce(
    history: Path,
    overrides: tuple[str, ...],
    topic: str | None,
    form: str | None,
    rate: float,
    batch: int,
    create_topic: int | None,
) -> None:
    """Send windows from Parquet, as `backfill` reads it, to Kafka: so many a second, a series always to one partition.

    \b
    undertow produce history.parquet --topic windows --format arrow --rate 5000
    """
    from undertow.commands.produce import produce as run_produce
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    given = [f"kafka.{name}={value}" for name, value in (("topic", topic), ("format", form)) if value is not None]
    settings = load([*overrides, *given])
    sent = run_produce(settings, history, Terminal(), per_second=rate, batch=batch, create_partitions=create_topic)
    sys.exit(0 if sent else 1)

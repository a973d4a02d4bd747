"""The command line: each command parses, builds the settings and calls one function.

In: arguments. Out: text, pictures, exit codes: 0 done, 1 failed with a message, 2 wrong usage.
Knows no rule. Heavy imports stand inside the commands, so that `--help` answers at once.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import click

from schemas.wording import are, counted
from workers.cli_group import OneLineGroup
from workers.cli_history import join, rebuild
from workers.cli_model import describe, pack, settings_options, taps
from workers.cli_setup import apply, check
from workers.option_paths import ExistingPathType, LocalPathType
from workers.view.command import view


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show where an error came from, too.")
@click.version_option(version("undertow"), prog_name="undertow")
@click.pass_context
def main(ctx: click.Context, *, debug: bool) -> None:
    """Turn live time series into features: hidden states of forecasting models, from Kafka to Feast."""
    ctx.obj = debug


main.add_command(taps)
main.add_command(pack)
main.add_command(describe)
main.add_command(check)
main.add_command(apply)
main.add_command(join)
main.add_command(rebuild)
main.add_command(settings_options(view))


@main.command()
@click.option("--folder", type=LocalPathType(file_okay=False), default=Path(".undertow/stack"), show_default=True)
@click.option("--persist", is_flag=True, help="Keep the data when it goes down.")
def up(folder: Path, *, persist: bool) -> None:
    """Start a real Kafka and Redis on this machine, from packages.

    \b
    undertow up
    """
    from workers.devstack.stack import up as start

    stack = start(folder, persist=persist)
    click.echo(f"export UNDERTOW_KAFKA__BOOTSTRAP={stack.bootstrap}\nexport UNDERTOW_REDIS={stack.redis}")


@main.command()
@click.option("--folder", type=LocalPathType(file_okay=False), default=Path(".undertow/stack"), show_default=True)
def down(folder: Path) -> None:
    """Stop what `undertow up` started."""
    from workers.devstack.stack import down as stop

    click.echo("stopped" if stop(folder) else "nothing was running")


@main.command()
@click.option("--drain-when-idle", type=float, metavar="SECONDS", help="End when nothing came for so long.")
@click.option("--force", is_flag=True, help="Start beside a fleet that reads the same topic under the same group.")
@settings_options
def run(overrides: tuple[str, ...], drain_when_idle: float | None, *, force: bool) -> None:
    """Run the fleet: windows from Kafka to features in Feast. Ctrl-C drains it. Attaches to one in a joined Ray.

    \b
    undertow run --set fleet.replicas=2
    """
    from workers.fleet.run import run as run_fleet
    from workers.settings import load
    from workers.terminal import Terminal

    chosen = (*overrides, "fleet.force=true") if force else overrides
    run_fleet(load(chosen), Terminal(), drain_when_idle_s=drain_when_idle)


@main.command()
@click.option("as_json", "--json", is_flag=True)
@click.option("is_watching", "--watch", is_flag=True, help="Show it anew every second until Ctrl-C or the fleet's end.")
@settings_options
def status(overrides: tuple[str, ...], *, as_json: bool, is_watching: bool) -> None:
    """Show the running fleet.

    \b
    undertow status --watch
    """
    from workers.fleet.launch import reach
    from workers.fleet.show import show, watch
    from workers.settings import load
    from workers.terminal import Terminal

    fleet = reach(load(overrides).fleet)
    if is_watching:
        watch(fleet.status, Terminal(), as_json=as_json)
    else:
        show(fleet.status(), Terminal(), as_json=as_json)


@main.command()
@click.argument("replicas", type=click.IntRange(min=1))
@settings_options
def scale(replicas: int, overrides: tuple[str, ...]) -> None:
    """Give the running fleet so many replicas; those that are too many finish their batches first.

    \b
    undertow scale 4
    """
    from workers.fleet.launch import reach
    from workers.settings import load

    settings = load(overrides).fleet
    found = reach(settings).scale(replicas, timeout_s=settings.drain_timeout_seconds + 60)
    idle = max(0, replicas - found.partitions)
    there = f"there {are(found.partitions)} {counted(found.partitions, 'partition')}"
    note = f"; {idle} read nothing, since {there}" if idle else ""
    click.echo(f"{replicas} replica{'s' * (replicas > 1)} run{note}")


@main.command()
@settings_options
def drain(overrides: tuple[str, ...]) -> None:
    """Let the running fleet finish its batches, write its checkpoints and end."""
    from workers.fleet.launch import reach
    from workers.settings import load

    settings = load(overrides).fleet
    last = reach(settings).end(settings.drain_timeout_seconds + 30)
    click.echo(f"drained: {counted(last.windows, 'window')}, {counted(last.rejects, 'reject')}")


@main.command()
@click.argument("history", type=ExistingPathType())
@click.option(
    "--job", help="Name of the job that goes on where it was stopped; default: the name of the file or folder."
)
@settings_options
def backfill(history: Path, overrides: tuple[str, ...], job: str | None) -> None:
    """Embed history from Parquet into the same offline log, the newest also online. Goes on where it was stopped.

    A row is a window; `undertow describe` shows the columns and one as an example.

    \b
    undertow backfill history.parquet
    """
    from workers.backfill.run import run as run_backfill
    from workers.settings import load
    from workers.terminal import Terminal

    reports = run_backfill(load(overrides), history, Terminal(), job=job)
    sys.exit(1 if any(report.took_nothing or report.faults for report in reports) else 0)


@main.command()
@click.argument("history", type=ExistingPathType())
@click.option("--topic", help="Where to; default: kafka.topic.")
@click.option("--format", "form", help="json, arrow, avro or avro-confluent; default: kafka.format.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=1000, show_default=True)
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
    from workers.produce import produce as run_produce
    from workers.settings import load
    from workers.terminal import Terminal

    given = [f"kafka.{name}={value}" for name, value in (("topic", topic), ("format", form)) if value is not None]
    settings = load([*overrides, *given])
    sent = run_produce(settings, history, Terminal(), per_second=rate, batch=batch, create_partitions=create_topic)
    sys.exit(0 if sent else 1)


@main.command()
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="ID=VALUE...")
@click.option("as_json", "--json", is_flag=True)
@settings_options
def get(name: str, keys: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Look the newest embedding of one series up.

    \b
    undertow get watch wearer=s08 side=left
    """
    from workers.lookup import look_up
    from workers.settings import load

    click.echo(look_up(load(overrides), name, keys, as_json=as_json))


@main.command()
@click.option("--reason", "reasons", multiple=True, help="Only this reason; kills-replica and hangs are sent only so.")
@click.option("--artifact", "artifacts", multiple=True, metavar="NAME", help="Only what it refused: name, or view.")
@click.option("--since", metavar="TIME", help="Only what was refused at or after this time (ISO 8601 with zone).")
@click.option("--until", metavar="TIME", help="Only what was refused before this time.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest.")
@click.option("--pipe", metavar="COMMAND", help="Mend each record: reads it on standard input, writes the new one.")
@click.option("--send", is_flag=True, help="Send what would be taken now; without it nothing is changed.")
@click.option("--again", is_flag=True, help="Also those that were sent already.")
@click.option("as_json", "--json", is_flag=True)
@settings_options
def replay(
    overrides: tuple[str, ...],
    reasons: tuple[str, ...],
    artifacts: tuple[str, ...],
    limit: int | None,
    *,
    send: bool,
    again: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Look at dead letters, mend them, and send them again to the partition they came from, each once.

    \b
    undertow replay --reason number
    undertow replay --reason number --pipe "jq -c .past.ax|=map(.//0)" --send
    """
    from workers.replay import Choice
    from workers.replay import replay as run_replay
    from workers.settings import load
    from workers.terminal import Terminal

    times = {name: options[name] for name in ("since", "until")}
    choice = Choice.parse(reasons=reasons, artifacts=artifacts, limit=limit, again=again, **times)
    is_done = run_replay(load(overrides), choice, Terminal(), pipe=options["pipe"], send=send, as_json=as_json)
    sys.exit(0 if is_done else 1)


@main.command()
@click.option("--state", type=LocalPathType(file_okay=False), default=Path(".undertow/demo"), show_default=True)
def demo(state: Path) -> None:
    """Run the whole job on real data: train, pack, backfill, stream, classify; ends with a table and a picture."""
    from workers.demo.flow import run_flow
    from workers.terminal import Terminal

    run_flow(state, Terminal())

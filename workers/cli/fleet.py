"""`undertow run`, `status`, `scale` and `drain`: run a fleet, watch it and change it.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the commands.
"""

import contextlib

import click

from undertow.cli.options import names_fleet, settings_options
from undertow.core.errors import Unavailable
from undertow.schemas.wording import are, counted
from undertow.telemetry.output import say


@click.command()
@click.option(
    "--drain-when-idle",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Drain after no record came for this long.",
)
@click.option("--force", is_flag=True, help="Start even if another fleet reads the same topic under the same group.")
@settings_options
def run(overrides: tuple[str, ...], drain_when_idle: float | None, *, force: bool) -> None:
    """Run the fleet, from Kafka to Feast.

    Ctrl-C drains it: batches are finished, checkpoints written, offsets committed. In a Ray cluster that it joins
    (fleet.address), the command attaches to a fleet that runs there already.

    \b
    undertow run --set fleet.replicas=2
    """
    from undertow.fleet.run import run as run_fleet
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    chosen = (*overrides, "fleet.force=true") if force else overrides
    run_fleet(load(chosen), Terminal(), drain_when_idle_s=drain_when_idle)


@click.command()
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@click.option("is_watching", "--watch", is_flag=True, help="Refresh every second until Ctrl-C or the fleet's end.")
@settings_options
def status(overrides: tuple[str, ...], *, as_json: bool, is_watching: bool) -> None:
    """Show the running fleet.

    \b
    undertow status --watch
    """
    from undertow.fleet.identity import difference
    from undertow.fleet.launch import find_fleet
    from undertow.fleet.show import show, watch
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    settings = load(overrides)
    fleet = find_fleet(settings.fleet)
    with contextlib.suppress(Unavailable):  # it is late, which is told below
        if not names_fleet(overrides) and (differs := difference(fleet.handshake(), settings)):
            say(f"fleet {fleet.name!r} is of another project: {differs}", err=True)
    if is_watching:
        watch(fleet.status, Terminal(), as_json=as_json)
    else:
        show(fleet.status(), Terminal(), as_json=as_json)


@click.command()
@click.argument("replicas", type=click.IntRange(min=1))
@settings_options
def scale(replicas: int, overrides: tuple[str, ...]) -> None:
    """Change the number of replicas.

    Replicas that are stopped finish their batches first.

    \b
    undertow scale 4
    """
    from undertow.fleet.launch import find_own_fleet
    from undertow.settings.settings import load

    settings = load(overrides)
    fleet = find_own_fleet(settings, command=f"undertow scale {replicas}", is_named=names_fleet(overrides))
    found = fleet.scale(replicas, timeout_s=settings.fleet.drain_timeout_seconds + 60)
    idle = max(0, replicas - found.partitions)
    there = f"there {are(found.partitions)} {counted(found.partitions, 'partition')}"
    note = f"; {idle} read nothing, since {there}" if idle else ""
    served = ", ".join(one.artifact for one in found.artifacts)
    say(f"fleet {fleet.name!r}, which serves {served}: {replicas} replica{'s' * (replicas > 1)} run{note}")


@click.command()
@settings_options
def drain(overrides: tuple[str, ...]) -> None:
    """End the running fleet in order.

    It finishes its batches, writes its checkpoints and commits its offsets.
    """
    from undertow.fleet.launch import find_own_fleet
    from undertow.fleet.show import waiting_words
    from undertow.settings.settings import load

    settings = load(overrides)
    fleet = find_own_fleet(settings, command="undertow drain", is_named=names_fleet(overrides))
    last = fleet.end(settings.fleet.drain_timeout_seconds + 30)
    served = f", which served {', '.join(last.serves)}," if last.serves else ""
    say(f"fleet {fleet.name!r}{served} drained: {counted(last.windows, 'window')}, {counted(last.rejects, 'reject')}")
    if last.waiting:
        say(waiting_words(last.waiting, last.waiting_series))

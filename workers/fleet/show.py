"""A fleet's status for a terminal.

In: a `FleetStatus`. Out: a line, a rich table. Knows neither Ray nor Kafka.
"""

import time
from collections.abc import Callable

import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table

from workers.fleet.status import FleetStatus, ReplicaStatus

WATCH_EVERY_S = 1.0


def show(status: FleetStatus, console: Console, *, as_json: bool) -> None:
    """Print it once."""
    if as_json:
        console.print_json(data=status.to_json())
    else:
        console.print(table(status))


def watch(look: Callable[[], FleetStatus], console: Console, *, as_json: bool) -> None:
    """Print it again and again, as a table that changes or one line of JSON a look, until the fleet has ended."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            status = look()
            if as_json:
                console.print(orjson.dumps(status.to_json()).decode(), soft_wrap=True, markup=False, highlight=False)
            else:
                live.update(table(status), refresh=True)
            if status.state in {"drained", "failed"}:
                return
            time.sleep(WATCH_EVERY_S)


def line(status: FleetStatus, windows_per_s: float) -> str:
    """Return the live line of `undertow run`."""
    lag = "?" if status.lag is None else f"{status.lag:,}"
    text = (
        f"{status.state} · {len(status.replicas)} replicas · {status.windows:,} windows · {windows_per_s:,.0f}/s"
        f" · lag {lag} · rejects {sum(status.rejects.values()):,}"
        f" · append to readable p50 {_ms(status, 0.5)} p99 {_ms(status, 0.99)}"
    )
    if status.failovers:
        text += f" · failovers {status.failovers}"
    return f"{text} · {status.message}" if status.message else text


def table(status: FleetStatus) -> Table:
    """Return the table of `undertow status`."""
    rows = Table(
        title=line(status, 0).replace(" · 0/s", ""), title_justify="left", title_style="", caption_justify="left"
    )
    for name in ("replica", "state", "pid", "partitions", "lag", "windows", "rejects", "note"):
        rows.add_column(name, justify="right" if name in {"pid", "lag", "windows", "rejects"} else "left")
    for replica in status.replicas:
        rows.add_row(
            replica.name,
            replica.state,
            str(replica.pid or ""),
            " ".join(str(partition.index) for partition in sorted(replica.held)),
            f"{sum(replica.lag.values()):,}",
            f"{replica.windows:,}",
            f"{sum(replica.rejects.values()):,}",
            replica.error or replica.blocked or ("standby" if _stands_by(replica) else ""),
        )
    notes = []
    if status.autoscale:
        notes.append(f"autoscale: {status.wanted} wanted; {status.autoscale}")
    if status.rejects:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(status.rejects.items()))
        notes.append(f"rejects by reason: {counts}")
    rows.caption = "\n".join(notes) or None
    return rows


def _stands_by(replica: ReplicaStatus) -> bool:
    return replica.state == "running" and not replica.held and not replica.wanted


def _ms(status: FleetStatus, share: float) -> str:
    latency = status.latency_ms(share)
    return "-" if latency is None else f"{latency:.0f} ms"

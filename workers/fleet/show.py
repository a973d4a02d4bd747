"""A fleet's status for a terminal.

In: a `FleetStatus`. Out: a line, a rich table. Knows neither Ray nor Kafka.
"""

from rich.table import Table

from workers.fleet.status import FleetStatus


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
            replica.error or replica.blocked or "",
        )
    if status.rejects:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(status.rejects.items()))
        rows.caption = f"rejects by reason: {counts}"
    return rows


def _ms(status: FleetStatus, share: float) -> str:
    latency = status.latency_ms(share)
    return "-" if latency is None else f"{latency:.0f} ms"

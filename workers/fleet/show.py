"""Render a fleet's status for a terminal.

In: a `FleetStatus`. Out: a line, a rich table, the newest events. Knows neither Ray nor Kafka.
"""

import itertools
import time
from collections.abc import Callable, Iterable

import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from undertow.core.errors import Refused, Unavailable
from undertow.core.readable import readable
from undertow.fleet.artifact_status import ArtifactStatus
from undertow.fleet.status import FleetStatus, ReplicaStatus, milliseconds
from undertow.schemas.records import Partition
from undertow.schemas.wording import counted
from undertow.stream.counts import Counts
from undertow.telemetry.logs import Line
from undertow.telemetry.terminal import Terminal

WATCH_EVERY_S = 1.0
EVENTS = 8
SECONDS_FROM_MS = 10_000
COLUMNS = {
    "replica": "left",
    "state": "left",
    "pid": "right",
    "partitions": "left",
    "lag": "right",
    "windows": "right",
    "/s": "right",
    "p50": "right",
    "p99": "right",
    "durable": "right",
    "rejects": "right",
    "note": "left",
}
NARROW, WIDE_ONLY = 110, frozenset({"pid", "/s", "p50", "rejects", "note"})
"""A terminal of fewer columns omits these, and shows notes below the table: a truncated number is worse than none."""
STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def show(status: FleetStatus, console: Console, *, as_json: bool) -> None:
    """Print the status once."""
    if as_json:
        console.print_json(data=status.to_json())
    else:
        console.print(screen(status, width=console.width))


def watch(look: Callable[[], FleetStatus], console: Console, *, as_json: bool) -> None:
    """Print it repeatedly, as a live table or as one line of JSON each time, until the fleet has ended.

    A controller that is late is retried, after a line that says so: on standard error where the output is JSON.
    """
    with Live(console=console, auto_refresh=False) as live:
        state = "starting"
        while True:
            try:
                status = look()
            except Refused:
                if state == "draining":  # the fleet has ended since, and its controller with it
                    return
                raise
            except Unavailable as error:  # busy, or being restarted: as in `undertow run`
                notes = Terminal(stderr=True) if as_json else live.console
                notes.print(f"late: {error}; asking again", soft_wrap=True, markup=False, highlight=False)
                time.sleep(WATCH_EVERY_S)
                continue
            state = status.state
            if as_json:
                console.print(orjson.dumps(status.to_json()).decode(), soft_wrap=True, markup=False, highlight=False)
            else:
                live.update(screen(status, width=console.width), refresh=True)
            if state in {"drained", "failed"}:
                return
            time.sleep(WATCH_EVERY_S)


def line(status: FleetStatus) -> str:
    """Return the live line of `undertow run`."""
    lag = "?" if status.lag is None else f"{status.lag:,}"
    lately = status.recent_latency
    counts = status.counts
    latency = lately if lately.any() else counts.latency
    rate = f" · {status.windows_per_s:,.0f}/s" if status.replicas else ""
    text = (
        f"{status.state} · {_size(status)} · {counted(counts.windows, 'window')}{rate}"
        f" · lag {lag} · rejects {sum(counts.rejects.values()):,}"
        f" · append to readable p50 {_ms(latency, 0.5)} p99 {_ms(latency, 0.99)}{_waited(latency, counts)}"
    )
    if counts.lost:
        text += f" · lost {counts.lost:,}"
    if status.failovers:
        text += f" · failovers {status.failovers}"
    return f"{text} · {status.message}" if status.message else text


def _waited(latency: NDArray[np.int64], counts: Counts) -> str:
    """Return, where records were appended long before they were readable, how little of it may be ours."""
    found, batches = milliseconds(latency, 0.5), sum(counts.batches.values())
    if found is None or found < SECONDS_FROM_MS or not batches:
        return ""
    own_ms = 1000 * (counts.embed_s + counts.write_s) / batches
    return f" with their wait in the topic (embedding and writing a batch: {own_ms:,.0f} ms)"


def _size(status: FleetStatus) -> str:
    """Return how many replicas there are, and where they are not all that are wanted, how many are."""
    found, wanted = len(status.replicas), status.wanted + status.standbys
    starting = sum(replica.state == "starting" for replica in status.replicas)
    is_short = status.state in {"starting", "running"} and found < wanted
    text = f"{found} of {wanted} replicas" if is_short else counted(found, "replica")
    return f"{text}, {starting} starting" if starting else text


def screen(status: FleetStatus, now: float | None = None, *, width: int) -> Group:
    """Return the output of `undertow status`: the line, a row for each replica, the newest events."""
    events = [Text(), *(event(one) for one in status.lines[-EVENTS:])] if status.lines else []
    return Group(Text(line(status)), table(status, time.time() if now is None else now, width), *events)


def table(status: FleetStatus, now: float, width: int) -> Table:
    """Return a row for each replica. Rates and latencies are those of the last ten seconds."""
    rows, notes = Table(caption_justify="left"), []
    shown = [name for name in COLUMNS if width >= NARROW or name not in WIDE_ONLY]
    for name in shown:
        rows.add_column(
            name, justify="right" if COLUMNS[name] == "right" else "left", no_wrap=name not in {"partitions", "note"}
        )
    for replica in status.replicas:
        cells = _cells(replica, now)
        rows.add_row(*(cells[name] for name in shown))
        if "note" not in shown and cells["note"].plain:
            notes.append(f"{replica.name}: {cells['note']}")
    if status.autoscale:
        notes.append(f"autoscale: {status.wanted} wanted; {status.autoscale}")
    if status.counts.rejects:
        notes.append(f"rejects by reason: {_rejects(status.counts)}; see them: undertow replay")
    if (observed := status.observed).series and status.replicas:
        each = observed.bytes // observed.series
        in_files = f", {observed.file_bytes // observed.series:,} in files" if observed.file_bytes else ""
        notes.append(f"observations: {observed.series:,} series held, {each:,} bytes of memory each{in_files}")
    if observed.waiting:
        notes.append(f"observations: {waiting_words(observed.waiting, observed.waiting_series)}")
    notes += [f"suspect: {one}" for one in status.suspects]
    if status.maintained is not None:
        notes.append(f"history: {status.maintained}")
    if len(status.artifacts) > 1:
        notes += [_of_artifact(status, one) for one in status.artifacts]
    rows.caption = Text("\n".join(notes)) if notes else None
    return rows


def waiting_words(observations: int, series: int) -> str:
    """Say that grid points are not closed yet, so that the windows which end there are not made."""
    found = counted(observations, "observation")
    return f"{found} of {series:,} series wait for a later one, which closes their grid points (windows.lateness)"


def _cells(replica: ReplicaStatus, now: float) -> dict[str, Text]:
    texts = {
        "replica": replica.name,
        "state": replica.state,
        "pid": str(replica.pid or ""),
        "partitions": ranges(replica.held),
        "lag": f"{sum(replica.lag.values()):,}",
        "windows": f"{replica.counts.windows:,}",
        "/s": f"{replica.windows_per_s:,.0f}",
        "p50": _ms(replica.recent_latency, 0.5),
        "p99": _ms(replica.recent_latency, 0.99),
        "durable": _age(replica, now),
        "rejects": f"{sum(replica.counts.rejects.values()):,}",
        "note": replica.error or replica.blocked or ("standby" if _stands_by(replica) else ""),
    }
    return {name: Text(text) for name, text in texts.items()}


def _of_artifact(status: FleetStatus, artifact: ArtifactStatus) -> str:
    lag = status.lag_of(artifact)
    text = (
        f"{artifact.artifact}: {counted(artifact.counts.windows, 'window')} · lag "
        f"{'?' if lag is None else f'{lag:,}'} · rejects "
    )
    return text + (_rejects(artifact.counts) or "0") + (f" · {artifact.blocked}" if artifact.blocked else "")


def _rejects(counts: Counts) -> str:
    last = counts.last_reject
    return ", ".join(
        f"{reason} {count:,}" + (f" (last {last[reason]})" if reason in last else "")
        for reason, count in sorted(counts.rejects.items())
    )


def event(one: Line) -> Text:
    """Return one line of a log: when (this machine's time), who, what."""
    at = time.strftime("%H:%M:%S", time.localtime(one.at))
    text = Text(f"{at} {one.replica or 'controller':<14} ")
    return text.append(one.event, style=STYLES.get(one.level, "")).append(f" {readable(one.text)}")


def ranges(partitions: Iterable[Partition]) -> str:
    """Return partition numbers with consecutive ones as ranges, such as `0-3 7`."""
    runs = itertools.groupby(enumerate(sorted(p.index for p in partitions)), lambda pair: pair[1] - pair[0])
    spans = [[index for _, index in run] for _, run in runs]
    return " ".join(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans)


def _age(replica: ReplicaStatus, now: float) -> str:
    """Return how long ago everything it had read was durable; empty where it reads nothing."""
    if replica.durable_at is None or not replica.held:
        return ""
    return f"{max(0.0, now - replica.durable_at):.1f} s"


def _stands_by(replica: ReplicaStatus) -> bool:
    return replica.state == "running" and not replica.held and not replica.wanted


def _ms(latency: NDArray[np.int64], share: float) -> str:
    found = milliseconds(latency, share)
    if found is None:
        return "-"
    return f"{found:.0f} ms" if found < SECONDS_FROM_MS else f"{found / 1000:,.0f} s"

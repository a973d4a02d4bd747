"""Whether what has ended gets a successor, when, and where better not: a pure function.

In: a policy, how replicas have ended and who lives. Out: go on or give up, and why. Knows neither Ray nor Kafka.

A replica that has run and dies is replaced, however often that happens: nodes go, processes are killed. What tells of
more is a start that fails. It is held against its node, not against the fleet, which goes on for as long as it has a
healthy replica, or a node that has not failed yet.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from undertow.stream.verdicts import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How much is put up with."""

    starts: int = 5
    """So many failed starts are a node's fault, even where none says that it cannot be mended."""
    burst_s: float = 1.0
    """Ends within it count as one: Ray tells of a lost node actor by actor."""
    memory_s: float = 600.0
    """Then a node gets its next chance."""
    longest_delay_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One replica that ended and was not asked to."""

    at: float
    reason: str
    fault: Fault = "crashed"
    node: str = ""
    """Ray's id; empty where it ended before it was heard of."""
    host: str = ""
    has_run: bool = False
    """Whether it had opened all that it needs."""
    has_worked: bool = False
    """Whether it had embedded a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """One replica that lives."""

    node: str = ""
    runs_since: float | None = None
    """None where it still starts."""
    has_worked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a fleet. Times are those of one monotonic clock, in seconds."""

    ends: tuple[End, ...] = ()
    living: tuple[Living, ...] = ()
    nodes: frozenset[str] = frozenset()
    """Those that have room for a replica when nothing else is there; empty where that is not known."""
    healthy_at: float = -math.inf
    """When a healthy replica was last seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows."""

    spawn_at: float = -math.inf
    """No successor is started before."""
    avoid: frozenset[str] = frozenset()
    """Nodes on which starts have failed."""
    gives_up: str | None = None
    """Why nobody can be started anywhere."""
    told: str | None = None
    """What a status says of failed starts meanwhile."""


def remember(
    policy: Policy,
    before: History,
    *,
    ended: Iterable[End],
    living: Sequence[Living],
    nodes: frozenset[str],
    now: float,
) -> History:
    """Return the history with what a tick saw; what is too old, or has been shown to be over, is forgotten."""
    fresh = [one for one in (*before.ends, *ended) if one.at > now - policy.memory_s]
    ends = tuple(one for one in fresh if not any(_is_answered(one, by) for by in living))
    after = History(ends=ends, living=tuple(living), nodes=nodes, healthy_at=before.healthy_at)
    return replace(after, healthy_at=now) if _is_healthy(policy, after) else after


def decide(policy: Policy, history: History, now: float) -> Decision:
    """Return what follows from the history at this moment."""
    fruitless = [one for one in history.ends if not one.has_worked]
    failed = _failed(history.ends)
    if not fruitless:
        return Decision()
    bad = _bad_nodes(policy, failed)
    delay_s = _delay_s(policy, _bursts(policy, fruitless))
    spawn_at = max(one.at for one in fruitless) + delay_s
    decision = Decision(spawn_at=spawn_at, avoid=bad - {""}, told=_told(fruitless, spawn_at - now))
    waits_for = any(one.runs_since is None and one.node and one.node not in bad for one in history.living)
    unanswered = [one for one in failed if one.at > history.healthy_at]
    if not unanswered or waits_for or _is_healthy(policy, history):
        return decision
    is_bad_everywhere = bool(history.nodes) and history.nodes <= bad
    if is_bad_everywhere or _bursts(policy, unanswered) >= policy.starts:
        return replace(decision, gives_up=_why(unanswered))
    return decision


def _failed(ends: Iterable[End]) -> list[End]:
    """Return those ends that another start would come to as well. To be refused at the first window is one."""
    return [
        one
        for one in ends
        if not one.has_worked and (one.fault == "refused" or (not one.has_run and one.fault != "unavailable"))
    ]


def _is_answered(end: End, by: Living) -> bool:
    """Whether a replica on the same node has since come further than the one that ended."""
    if by.node != end.node or by.runs_since is None:
        return False
    return by.has_worked if end.has_run else by.runs_since > end.at


def _is_healthy(policy: Policy, history: History) -> bool:
    """Whether some replica runs. On a node where others are refused it must have worked: it may be the next."""
    bad = _bad_nodes(policy, _failed(history.ends))
    return any(one.runs_since is not None and (one.has_worked or one.node not in bad) for one in history.living)


def _bad_nodes(policy: Policy, failed: Sequence[End]) -> frozenset[str]:
    by_node = {node: [one for one in failed if one.node == node] for node in {one.node for one in failed}}
    return frozenset(
        node
        for node, ends in by_node.items()
        if any(one.fault == "refused" for one in ends) or _bursts(policy, ends) >= policy.starts
    )


def _bursts(policy: Policy, ends: Iterable[End]) -> int:
    """Count ends, those within `burst_s` of the first of them as one."""
    count, began = 0, -math.inf
    for at in sorted(one.at for one in ends):
        if at - began >= policy.burst_s:
            count, began = count + 1, at
    return count


def _delay_s(policy: Policy, bursts: int) -> float:
    """None after the first, which may be anything; then doubled from one second on."""
    return 0.0 if bursts <= 1 else min(2.0 ** min(bursts - 2, 60), policy.longest_delay_s)


def _told(fruitless: Sequence[End], wait_s: float) -> str | None:
    """Say of failed starts how many, where, why, and when the next one comes; ends of those that ran are no news."""
    starts = [one for one in fruitless if not one.has_run or one.fault in {"refused", "unavailable"}]
    if not starts:
        return None
    again = f"tried again in {wait_s:.0f} s" if wait_s > 0 else "tried again"
    return f"{_count(len(starts))} failed on {_hosts(starts)}, {again}; the last: {starts[-1].reason}"


def _why(ends: Sequence[End]) -> str:
    last = ends[-1]
    if len({one.node for one in ends}) == 1 and last.fault == "refused":
        return last.reason
    return f"{_count(len(ends))} failed on {_hosts(ends)}, and no replica runs; the last: {last.reason}"


def _count(starts: int) -> str:
    return f"{starts} start{'s' * (starts > 1)}"


def _hosts(ends: Sequence[End]) -> str:
    names = (f"{one.host or 'a node'} ({one.node[:8] or 'not known'})" for one in ends)
    return ", ".join(name for name, _ in itertools.groupby(sorted(names)))

"""The restart policy: whether, when and where a replica that ended is replaced, as a pure function.

In: a policy, how replicas have ended and who lives. Out: continue or give up, and why. Knows neither Ray nor Kafka.

A replica that has run and dies is replaced, however often that happens: nodes go, processes are killed. A failed start
means more. It counts against its node, not against the fleet, which continues while it has a healthy replica, or a
node that has not failed yet.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from undertow.stream.verdicts import EndCause


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """The limits of restarts."""

    starts: int = 5
    """This many failed starts mark a node as bad, even where none of the errors is permanent."""
    burst_s: float = 1.0
    """Ends within this time count as one: Ray reports a lost node actor by actor."""
    memory_s: float = 600.0
    """After this time a bad node is tried again."""
    longest_delay_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaEnd:
    """The unexpected end of one replica."""

    at: float
    reason: str
    fault: EndCause = "crashed"
    node: str = ""
    """Ray's id; empty where it ended before its first status."""
    host: str = ""
    has_run: bool = False
    """Whether it had opened all its resources."""
    has_worked: bool = False
    """Whether it had embedded a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivingReplica:
    """One living replica."""

    node: str = ""
    runs_since: float | None = None
    """None where it is still starting."""
    has_worked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartHistory:
    """The history of a fleet's replicas. Times are in seconds of one monotonic clock."""

    ends: tuple[ReplicaEnd, ...] = ()
    living: tuple[LivingReplica, ...] = ()
    nodes: frozenset[str] = frozenset()
    """Nodes whose total resources suffice for a replica; empty where that is not known."""
    healthy_at: float = -math.inf
    """When a healthy replica was last seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartDecision:
    """The decision about restarts."""

    spawn_at: float = -math.inf
    """No replacement is started before."""
    avoid: frozenset[str] = frozenset()
    """Nodes to avoid, since starts have failed there."""
    gives_up: str | None = None
    """Why no replica can be started anywhere."""
    told: str | None = None
    """The status message about failed starts meanwhile."""


def remember(
    policy: RestartPolicy,
    before: RestartHistory,
    *,
    ended: Iterable[ReplicaEnd],
    living: Sequence[LivingReplica],
    nodes: frozenset[str],
    now: float,
) -> RestartHistory:
    """Return the history with the observations of a tick, without ends that are too old or known to be over."""
    fresh = [one for one in (*before.ends, *ended) if one.at > now - policy.memory_s]
    ends = tuple(one for one in fresh if not any(_is_answered(one, by) for by in living))
    after = RestartHistory(ends=ends, living=tuple(living), nodes=nodes, healthy_at=before.healthy_at)
    return replace(after, healthy_at=now) if _is_healthy(policy, after) else after


def decide_restart(policy: RestartPolicy, history: RestartHistory, now: float) -> RestartDecision:
    """Return the decision that follows from the history at this moment."""
    fruitless = [one for one in history.ends if not one.has_worked]
    failed = _failed(history.ends)
    if not fruitless:
        return RestartDecision()
    bad = _bad_nodes(policy, failed)
    delay_s = _delay_s(policy, _bursts(policy, fruitless))
    spawn_at = max(one.at for one in fruitless) + delay_s
    decision = RestartDecision(spawn_at=spawn_at, avoid=bad - {""}, told=_told(fruitless, spawn_at - now))
    waits_for = any(one.runs_since is None and one.node and one.node not in bad for one in history.living)
    unanswered = [one for one in failed if one.at > history.healthy_at]
    if not unanswered or waits_for or _is_healthy(policy, history):
        return decision
    is_bad_everywhere = bool(history.nodes) and history.nodes <= bad
    if is_bad_everywhere or _bursts(policy, unanswered) >= policy.starts:
        return replace(decision, gives_up=_why(unanswered))
    return decision


def _failed(ends: Iterable[ReplicaEnd]) -> list[ReplicaEnd]:
    """Return the ends that another start would repeat, which includes a refusal at the first window."""
    return [
        one
        for one in ends
        if not one.has_worked and (one.fault == "refused" or (not one.has_run and one.fault != "unavailable"))
    ]


def _is_answered(end: ReplicaEnd, by: LivingReplica) -> bool:
    """Whether a replica on the same node has since got further than the one that ended."""
    if by.node != end.node or by.runs_since is None:
        return False
    return by.has_worked if end.has_run else by.runs_since > end.at


def _is_healthy(policy: RestartPolicy, history: RestartHistory) -> bool:
    """Whether some replica runs. On a node where others were refused it must have embedded: it may be the next."""
    bad = _bad_nodes(policy, _failed(history.ends))
    return any(one.runs_since is not None and (one.has_worked or one.node not in bad) for one in history.living)


def _bad_nodes(policy: RestartPolicy, failed: Sequence[ReplicaEnd]) -> frozenset[str]:
    by_node = {node: [one for one in failed if one.node == node] for node in {one.node for one in failed}}
    return frozenset(
        node
        for node, ends in by_node.items()
        if any(one.fault == "refused" for one in ends) or _bursts(policy, ends) >= policy.starts
    )


def _bursts(policy: RestartPolicy, ends: Iterable[ReplicaEnd]) -> int:
    """Count ends, those within `burst_s` of the first of them as one."""
    count, began = 0, -math.inf
    for at in sorted(one.at for one in ends):
        if at - began >= policy.burst_s:
            count, began = count + 1, at
    return count


def _delay_s(policy: RestartPolicy, bursts: int) -> float:
    """Return the backoff: 0 after the first burst, which may be chance; then doubling from one second."""
    return 0.0 if bursts <= 1 else min(2.0 ** min(bursts - 2, 60), policy.longest_delay_s)


def _told(fruitless: Sequence[ReplicaEnd], wait_s: float) -> str | None:
    """Return a message of how many starts failed, where, why, and when the next is due."""
    starts = [one for one in fruitless if not one.has_run or one.fault in {"refused", "unavailable"}]
    if not starts:
        return None
    again = f"tried again in {wait_s:.0f} s" if wait_s > 0 else "tried again"
    return f"{_count(len(starts))} failed on {_hosts(starts)}, {again}; the last: {starts[-1].reason}"


def _why(ends: Sequence[ReplicaEnd]) -> str:
    last = ends[-1]
    if len({one.node for one in ends}) == 1 and last.fault == "refused":
        return last.reason
    return f"{_count(len(ends))} failed on {_hosts(ends)}, and no replica runs; the last: {last.reason}"


def _count(starts: int) -> str:
    return f"{starts} start{'s' * (starts > 1)}"


def _hosts(ends: Sequence[ReplicaEnd]) -> str:
    names = (f"{one.host or 'a node'} ({one.node[:8] or 'not known'})" for one in ends)
    return ", ".join(name for name, _ in itertools.groupby(sorted(names)))

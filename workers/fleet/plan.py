"""The assignment of partitions to replicas: a pure function, sticky and balanced by count, then by lag.

In: partitions, living replicas, present owners, the lag of each partition. Out: an owner for each partition. Knows
neither Ray nor Kafka.

Counts come first: they differ by one at most, whatever the lags are, because lags change faster than assignments.
Among such plans the lags are balanced: unowned partitions go, largest lag first, to the replica with the least; two
partitions are swapped only where that is worth the two handovers it costs.
"""

from collections.abc import Iterable, Mapping, Sequence

from undertow.schemas.records import Partition

LEAST_GAIN = 0.25
"""A swap must reduce the lag of the replica that is furthest behind by this share..."""
LEAST_OFFSETS = 1_000
"""...and at least this many offsets: below, a handover costs more than it gains."""


def plan(
    partitions: Iterable[Partition],
    replicas: Sequence[str],
    current: Mapping[Partition, str],
    lag: Mapping[Partition, int] | None = None,
) -> dict[Partition, str]:
    """Give every partition an owner: balanced within one, by lag where it is given, and with few moves.

    Without a replica the result is empty. It depends on the arguments alone. An unknown lag counts as 0.
    """
    if not replicas:
        return {}
    behind = {partition: 0 if lag is None else lag.get(partition, 0) for partition in sorted(partitions)}
    shares: dict[str, list[Partition]] = {replica: [] for replica in sorted(replicas)}
    for partition in behind:
        if (owner := current.get(partition)) in shares:
            shares[owner].append(partition)
    _trim(shares, behind)
    kept = {partition for share in shares.values() for partition in share}
    for partition in sorted(behind.keys() - kept, key=lambda p: (-behind[p], p)):
        # In rounds: the replica with the fewest partitions, and of these with the least lag. From nothing, this keeps
        # the lags of any two replicas within one partition's: each round's largest goes where the least is.
        least = min(shares, key=lambda replica: (len(shares[replica]), _sum(shares[replica], behind)))
        shares[least].append(partition)
    while lag is not None and _exchange(shares, behind):
        pass
    return {partition: replica for replica, share in shares.items() for partition in share}


def _trim(shares: dict[str, list[Partition]], behind: Mapping[Partition, int]) -> None:
    """Take partitions from replicas that have too many, chosen so that their lags stay near the mean."""
    part, extra = divmod(len(behind), len(shares))
    mean = sum(behind.values()) / len(shares)
    # The replicas that read the most now keep the larger parts, so that fewer partitions move.
    by_count = sorted(shares, key=lambda replica: (-len(shares[replica]), replica))
    for place, replica in enumerate(by_count):
        share = shares[replica]
        while len(share) > part + (place < extra):
            left = _sum(share, behind)
            share.remove(min(share, key=lambda p: (abs(left - behind[p] - mean), -p.index)))


def _exchange(shares: dict[str, list[Partition]], behind: Mapping[Partition, int]) -> bool:
    """Swap one partition of the replica that is furthest behind for another's, if that is worth it."""
    loads = {replica: _sum(share, behind) for replica, share in shares.items()}
    worst = max(loads, key=lambda replica: loads[replica])
    better: list[tuple[int, Partition, str, Partition]] = []
    for replica, share in shares.items():
        for mine in shares[worst] if replica != worst else ():
            for theirs in share:
                less = behind[mine] - behind[theirs]
                after = max(loads[worst] - less, loads[replica] + less)
                better.append((after, mine, replica, theirs))
    if not better:
        return False
    after, mine, replica, theirs = min(better)
    if loads[worst] - after < max(LEAST_OFFSETS, LEAST_GAIN * loads[worst]):
        return False
    shares[worst].remove(mine)
    shares[replica].remove(theirs)
    shares[worst].append(theirs)
    shares[replica].append(mine)
    return True


def _sum(share: Iterable[Partition], behind: Mapping[Partition, int]) -> int:
    return sum(behind[partition] for partition in share)

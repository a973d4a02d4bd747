"""Who reads which partition: a pure function.

In: partitions, living replicas, who reads what now. Out: an owner for each partition. Knows neither Ray nor Kafka.
"""

from collections.abc import Iterable, Mapping, Sequence

from schemas.records import Partition


def plan(
    partitions: Iterable[Partition], replicas: Sequence[str], current: Mapping[Partition, str]
) -> dict[Partition, str]:
    """Give every partition an owner: balanced within one, and as few moves as balance allows.

    Without a replica nothing is owned. The result depends on nothing but the arguments.
    """
    if not replicas:
        return {}
    wanted = sorted(partitions)
    kept: dict[str, list[Partition]] = {replica: [] for replica in sorted(replicas)}
    for partition in wanted:
        if (owner := current.get(partition)) in kept:
            kept[owner].append(partition)
    share, extra = divmod(len(wanted), len(kept))
    # The replicas that read the most now keep the larger shares, so that fewer partitions move.
    by_load = sorted(kept, key=lambda replica: (-len(kept[replica]), replica))
    quota = {replica: share + (place < extra) for place, replica in enumerate(by_load)}
    owner_of = {p: replica for replica, owned in kept.items() for p in owned[: quota[replica]]}
    room = [replica for replica in by_load for _ in range(quota[replica] - len(kept[replica]))]
    unowned = (partition for partition in wanted if partition not in owner_of)
    return owner_of | dict(zip(unowned, room, strict=True))

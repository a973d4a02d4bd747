"""Read back what the topic of a run held of observations, and what the fleet has told that it lacks of them.

In: a world. Out: what `check_observed` compares. Knows nothing of faults.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from tests.chaos.check_observed import NotWarm, Topic
from tests.chaos.cut import Cutter, cut
from tests.chaos.places import Lane
from tests.chaos.world import TOPIC, World
from undertow.wiring.root import open_embed

NOT_WARM = re.compile(rf"^(\S+)Z WARNING \S+ not-warm: the topic no longer has ([\d,]+) offsets? of {TOPIC}-(\d+) ")


def read_topic(world: World) -> Topic:
    """Take in what the topic holds."""
    broker = world.broker
    broker.look()
    not_warm, wrong = [], 0
    for at_us, index, offsets in _told_not_warm(world):
        lane = Lane(index, broker.generation_at(at_us))
        deletions = bisect_right(broker.deleted_us.get(lane, []), at_us)
        if deletions and (upto := broker.deleted[lane][deletions - 1]) >= offsets:
            not_warm.append(NotWarm(lane=lane, first=upto - offsets, upto=upto))
        else:
            wrong += 1
    return Topic(
        records=broker.values,
        numbers=broker.numbers,
        planted=frozenset(place for one in broker.planted for place in one.letters),
        skipped=frozenset(place for one in broker.planted if one.skipped for place in one.places),
        deleted=broker.deleted,
        gone=broker.gone,
        not_warm=sorted(set(not_warm)),
        not_warm_wrong=wrong,
    )


def cutter_of(world: World) -> Cutter:
    """Return what cuts windows for the world's model, and embeds them without a fleet."""
    artifact = world.recipe.artifacts[0]
    return partial(cut, contract=artifact.manifest.contract, embed=open_embed(artifact))


def _told_not_warm(world: World) -> Iterator[tuple[int, int, int]]:
    """Yield when it was told, of which partition, how many offsets: from the files where Ray keeps what actors say."""
    for path in sorted((world.folder / "r").glob("ray/session_2*/logs/worker-*.err")):
        for line in path.read_text(errors="replace").splitlines():
            if found := NOT_WARM.match(line):
                at = datetime.fromisoformat(f"{found[1]}+00:00")
                yield round(at.timestamp() * 1e6), int(found[3]), int(found[2].replace(",", ""))

"""The places where a fleet writes its heartbeat: its group's committed offsets, and each log that it writes.

In: a recipe, a lease. Out: the leases on all of them, or `Refused`; heartbeats. Knows nothing of how a lease is judged.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from undertow.adapters.kafka_lease import KafkaLease
from undertow.adapters.offline_lease import FileLease
from undertow.adapters.offline_root import view_folder
from undertow.core.errors import Refused
from undertow.fleet.lease import GROUP, Heartbeat, HolderTexts, Lease, acquire, holder
from undertow.storage.store_path import AnyPath
from undertow.wiring.root import StreamRecipe


class LeaseStore(Protocol):
    """Reads and writes a lease in one place."""

    def read(self) -> str:
        """Return the lease as last written."""

    def write(self, text: str) -> None:
        """Replace it."""

    def close(self) -> None:
        """Close. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasePlace:
    """One place, and the texts for the case that another fleet holds it."""

    lease: LeaseStore
    held: HolderTexts


def open_lease_places(recipe: StreamRecipe) -> list[LeasePlace]:
    """Return all places in which a fleet of this recipe writes its lease. Connects to none yet."""
    places = [LeasePlace(lease=KafkaLease(recipe.kafka), held=GROUP)]
    for artifact in recipe.artifacts:
        if artifact.log is not None:
            home = view_folder(artifact.log.root, artifact.manifest.view())
            held = HolderTexts(does=f"writes this topic's log in {home}", instead="another offline.path")
            places.append(LeasePlace(lease=FileLease(home, recipe.kafka.topic), held=held))
    return places


def acquire_all(own: Lease, places: Iterable[LeasePlace]) -> None:
    """Write our lease in all places, if no other fleet is alive in any. Raises `Refused`, with our leases deleted."""
    places = list(places)

    def acquire_one(one: LeasePlace) -> Refused | None:
        try:
            acquire(own, read=one.lease.read, write=one.lease.write, held=one.held)
        except Refused as error:
            return error
        return None

    with ThreadPoolExecutor(len(places)) as pool:  # each may have to watch for seconds
        refusals = list(pool.map(acquire_one, places))
    if refused := next((one for one in refusals if one is not None), None):
        for place in places:
            found = Lease.parse(place.lease.read())
            if found is not None and found.run == own.run:
                place.lease.write("")
        raise refused


def is_alive(home: AnyPath, topic: str) -> bool:
    """Whether a fleet is alive that writes a topic's chains in a view's folder. Takes seconds where there was one."""
    return holder(read=FileLease(home, topic).read) is not None


class Heartbeats:
    """Writes the heartbeat in all places, each by a thread of its own: one that is unavailable delays no other."""

    def __init__(self, own: Lease, places: Iterable[LeasePlace]) -> None:
        """Start."""
        self._heartbeats = [Heartbeat(own, write=place.lease.write) for place in places]

    def stop(self, *, is_last: bool) -> None:
        """Stop; with `is_last`, delete the lease."""
        for heartbeat in self._heartbeats:
            heartbeat.stop(is_last=is_last)

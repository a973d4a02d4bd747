"""Read quarantined partitions: announce a position in the heartbeat before processing it.

In: the quarantine order; how far each partition is read. Out: what the next poll may return; what is being processed.
Knows neither the source nor who asks for heartbeats.

A process that dies cannot report what it was processing, so it must say so before: the position is announced, and the
record is processed after two more heartbeats were requested. The request for the second one shows that the answer to
the first, which contained the position, has arrived.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from undertow.schemas.records import Partition
from undertow.stream.ports import Clock
from undertow.stream.quarantine_order import NO_QUARANTINE, PollScope, QuarantineOrder

ASKED_TO_BE_TOLD = 2
ASKS_AGAIN_S = 1.0
"""A stream that waits for its turn asks again after each `poll_timeout_s`, which is a tenth of this."""
ReadFrom = tuple[Partition, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What a stream is processing, as its heartbeat reports it."""

    place: ReadFrom | None = None
    """The quarantined partition that is about to be processed, and from which offset."""
    embedding: Mapping[Partition, tuple[int, int]] = field(default_factory=dict)
    """The offsets that the model is embedding now: by partition the first, and the next after the last."""
    seconds: float = 0.0
    """For how long the model has been embedding them."""


class Turn:
    """A lock for the streams of one process: one at a time while any is in quarantine, so that a death has one culprit.

    First come, first served. A stream that does not ask again within `ASKS_AGAIN_S`, because it waits for a store,
    loses its place.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._owner: object = None
        self._asked: dict[object, float] = {}

    def take(self, owner: object) -> bool:
        """Return whether the owner holds it now."""
        with self._lock:
            now = self._clock()
            if self._owner is None:
                self._asked[owner] = now
                first = next(one for one, at in self._asked.items() if now - at <= ASKS_AGAIN_S)
                if first is owner:
                    del self._asked[owner]
                    self._owner = owner
            elif self._owner is not owner:
                self._asked[owner] = now
            return self._owner is owner

    def give(self, owner: object) -> None:
        """Release it, if the owner holds it."""
        with self._lock:
            self._asked.pop(owner, None)
            if self._owner is owner:
                self._owner = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be polled yet."""


WAIT = Wait()


class QuarantineReader:
    """Alternates between the ordinary partitions and each quarantined one. One thread owns it.

    Any thread may call `ask`.
    """

    def __init__(self, artifact: str = "", turn: Turn | None = None, clock: Clock = time.monotonic) -> None:
        """Start without a quarantined partition."""
        self._artifact, self._turn, self._clock = artifact, turn or Turn(), clock
        self._embedding: tuple[float, Mapping[Partition, tuple[int, int]]] | None = None
        self._order = NO_QUARANTINE
        self._place: ReadFrom | None = None
        self._asked = 0
        self._told, self._lock = threading.Event(), threading.Lock()
        self._round: list[Partition | None] = []  # None for all ordinary partitions together

    def order(self, quarantine: QuarantineOrder) -> None:
        """Quarantine these partitions from now on."""
        if quarantine != self._order:
            self._order = quarantine
            self.done()
            self._round = []

    def ask(self, *, is_heartbeat: bool) -> InFlight:
        """Return what is being processed, and count the heartbeat."""
        with self._lock:
            place, embedding = self._place, self._embedding
            if place is not None and is_heartbeat:
                self._asked += 1
                if self._asked >= ASKED_TO_BE_TOLD:
                    self._told.set()
        if embedding is None:
            return InFlight(place=place)
        since, ranges = embedding
        return InFlight(place=place, embedding=ranges, seconds=self._clock() - since)

    @contextmanager
    def embedding(self, ranges: Mapping[Partition, tuple[int, int]]) -> Iterator[None]:
        """Record that the model is embedding these offsets, for as long as the context lasts."""
        self._embedding = self._clock(), ranges
        try:
            yield
        finally:
            self._embedding = None

    def next_scope(self, positions: Mapping[Partition, int], timeout_s: float) -> PollScope | Wait | None:
        """Return what to poll for, None for all. Waits at most `timeout_s` for an announced position to be heard."""
        suspects = sorted(p for p in self._order.steps if p in positions)
        if not suspects:
            self.done()
            return None
        if not self._turn.take(self):
            threading.Event().wait(timeout_s)
            return WAIT
        if self._place is not None:
            about_to, _ = self._place
            if about_to not in positions:
                self.done()
            elif self._told.wait(timeout_s):
                return self._scope(*self._place)
            return WAIT
        while True:
            self._round = self._round or [None, *suspects]
            one = self._round.pop(0)
            if one is None:
                if others := frozenset(positions) - frozenset(suspects):
                    return PollScope(only=others)
            elif one in positions and one in self._order.steps:
                self._announce((one, positions[one]))
                return WAIT

    def _scope(self, partition: Partition, position: int) -> PollScope:
        key, only = (self._artifact, partition), frozenset([partition])
        at, reason = self._order.refused.get(key, (None, ""))
        if at != position:
            return PollScope(only=only, at_most=self._order.steps[partition])
        is_seen = key not in self._order.unseen
        detail = f"each replica that took it ended ({reason}), the last with nothing else at hand: it is refused"
        detail += "" if is_seen else " unseen, since those ended, too, which read what it names"
        return PollScope(only=only, at_most=1, refused=(reason, detail), is_seen=is_seen)

    def _announce(self, place: ReadFrom | None) -> None:
        with self._lock:
            self._told.clear()
            self._asked, self._place = 0, place

    def is_quarantined(self, scope: PollScope | None) -> bool:
        """Return whether this delivery must be durable before anything else is read."""
        return scope is not None and not scope.only.isdisjoint(self._order.steps)

    def done(self) -> None:
        """Release the turn: everything polled has been processed."""
        self._announce(None)
        self._turn.give(self)

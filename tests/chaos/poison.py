"""What one producer can put into a topic that ends who takes it, or that nobody can unpack.

In: a world. Out: records, and where they lie. Knows nothing of when, and of what is checked afterwards.
"""

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from kafka import KafkaProducer
from kafka.record import default_records

from tests.chaos.broker import persist
from tests.chaos.faults import Fault
from tests.chaos.observations import deadly_rows
from tests.chaos.places import Planted
from tests.chaos.windows import windows_of
from tests.chaos.world import TOPIC, World
from tests.seed.deadly import ASIDE, DEADLY, ENDLESS
from undertow.schemas.json_codec import encode_json

BOMB_BYTES = 8 << 20
"""More than the world's `kafka.max_unpacked_bytes`."""


@dataclass(slots=True)
class Poison(Fault):
    """Something that is no good."""

    draws: float = 0.0
    row: ClassVar[str] = "RECORD"
    heals_itself: ClassVar[bool] = True
    every: ClassVar[int] = 2
    longest_s: ClassVar[float] = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random())

    def break_it(self, world: World) -> None:
        partition = int(self.draws * world.broker.partitions)
        persist(lambda: self._plant(world, partition))

    def _plant(self, world: World, partition: int) -> None:
        """Send it in one batch. One whose acknowledgement was lost is in the topic all the same: it is sent alone."""
        producer: Any = KafkaProducer(
            bootstrap_servers=world.settings.kafka.bootstrap,
            enable_idempotence=False,
            compression_type=self.codec(),
            max_request_size=2 * BOMB_BYTES,
            batch_size=2 * BOMB_BYTES,
            linger_ms=200,
        )
        sending = [producer.send(TOPIC, value, partition=partition) for value in self.values(world)]
        offsets = sorted(one.get(timeout=20).offset for one in sending)
        producer.close()
        world.broker.plant(
            Planted(
                partition=partition,
                generation=world.broker.generation,
                first=offsets[0],
                next=offsets[-1] + 1,
                skipped=self.skipped,
            )
        )

    skipped: ClassVar[bool] = False
    """Whether it cannot be unpacked."""

    def codec(self) -> str | None:
        return None

    def values(self, world: World) -> Sequence[bytes]:
        raise NotImplementedError


@dataclass(slots=True)
class RecordThatKills(Poison):
    """A record that ends the process of each replica that embeds it."""

    number: ClassVar[float] = DEADLY

    def values(self, world: World) -> Sequence[bytes]:
        if world.observes:  # of a series of its own, since those that a refused record names begin anew
            return [json.dumps(deadly_rows(f"x{len(world.broker.planted):03d}", self.number)).encode()]
        windows = windows_of([0])
        windows.past["flow"][0] = self.number
        return encode_json(windows)


@dataclass(slots=True)
class RecordThatHangs(RecordThatKills):
    """A record from which the model does not return."""

    number: ClassVar[float] = ENDLESS


@dataclass(slots=True)
class RecordThatGoesAnotherWay(RecordThatKills):
    """A record for which the model passes the tapped layer by."""

    number: ClassVar[float] = ASIDE


@dataclass(slots=True)
class FatalValue(Fault):
    """A value of a living series that ends the process of each replica that embeds it."""

    draws: float = 0.0
    number: ClassVar[float] = DEADLY
    row: ClassVar[str] = "RECORD"
    heals_itself: ClassVar[bool] = True
    longest_s: ClassVar[float] = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(rng.random())

    def break_it(self, world: World) -> None:
        world.send_fatal(int(self.draws * world.broker.partitions), self.number)


@dataclass(slots=True)
class EndlessValue(FatalValue):
    """A value of a living series from which the model does not return."""

    number: ClassVar[float] = ENDLESS


@dataclass(slots=True)
class ValueAside(FatalValue):
    """A value of a living series for which the model passes the tapped layer by."""

    number: ClassVar[float] = ASIDE


LIVING_KINDS: tuple[type[Fault], ...] = (FatalValue, EndlessValue, ValueAside)


@dataclass(slots=True)
class Bomb(Poison):
    """A batch of a few kB that unpacks to more than is allowed."""

    skipped: ClassVar[bool] = True

    def codec(self) -> str:
        return "gzip"

    def values(self, world: World) -> Sequence[bytes]:
        del world
        return [bytes(BOMB_BYTES)]


@dataclass(slots=True)
class CorruptBatch(Bomb):
    """A compressed batch whose records cannot be told apart."""

    def values(self, world: World) -> Sequence[bytes]:
        del world
        return [bytes(100)] * 3

    def _plant(self, world: World, partition: int) -> None:
        honest = default_records.gzip_encode
        default_records.gzip_encode = lambda data: gzip.compress(b"\xff\xff\xff" + bytes(data))
        try:
            Poison._plant(self, world, partition)
        finally:
            default_records.gzip_encode = honest

"""Keep what is known ahead as new as a topic has it, for the windows that a stream makes of observations.

In: a topic, rows of it as they are kept, whom to give the newest. Out: the same function that decodes records, before
which the topic is read. Knows neither Kafka nor formats.

The topic is read whole before the first records are decoded, and then to its end again where that was not done for
`known_seconds`: so a window has what was known by then at the latest. Nothing is read while no observations come.
"""

import time
from collections.abc import Callable, Sequence
from itertools import chain

import pyarrow as pa

from undertow.core.errors import Unavailable
from undertow.observations.known_rows import KnownRows
from undertow.schemas.decoded import Decode, Decoded
from undertow.schemas.records import Record
from undertow.stream.events import KnownPassedOver, KnownRead, Listener
from undertow.stream.known_ports import KnownPortion, KnownTopic
from undertow.stream.ports import Clock


class Knowing:
    """Reads a topic of what is known ahead when it is time. One thread owns it."""

    def __init__(
        self,
        topic: KnownTopic,
        rows: KnownRows,
        know: Callable[[pa.Table], object],
        *,
        known_seconds: float,
        tell: Listener,
        give_up: Callable[[], bool] = lambda: False,
        ticks: Clock = time.monotonic,
    ) -> None:
        """Take ownership. `know` is called with the newest rows, whenever there are other ones."""
        self._topic, self._rows, self._know, self._known_seconds = topic, rows, know, known_seconds
        self._tell, self._give_up, self._ticks = tell, give_up, ticks
        self._read_at: float | None = None
        self._left: tuple[KnownPortion, ...] = ()
        """What was read and could not be taken, since a registry did not answer: the topic does not give it again."""
        self._is_other, self._has_begun, self._records = False, False, 0

    def before(self, decode: Decode) -> Decode:
        """Return a `Decode` that first looks for something new. It raises `Unavailable` where the topic does not."""

        def refresh_and_decode(records: Sequence[Record]) -> Decoded:
            self.refresh()
            return decode(records)

        return refresh_and_decode

    def refresh(self) -> None:
        """Read what is new, if it is time. Raises `Unavailable`, `Refused`; what was read until then is kept."""
        began_at = self._ticks()
        if self._read_at is not None and began_at - self._read_at < self._known_seconds:
            return
        for portion in chain(self._left, self._topic.read()):
            self._left = (portion,)
            if portion.is_anew:
                self._rows.forget()
                self._is_other, self._has_begun, self._records = True, False, 0
            bad = self._rows.take(portion.records)
            self._left = ()
            self._is_other |= bool(portion.records)
            self._records += len(portion.records)
            if bad.rows:
                self._tell(KnownPassedOver(rows=bad.rows, example=bad.example))
            for reject in portion.skipped:
                place = f"{reject.record.partition}@{reject.record.offset}"
                self._tell(KnownPassedOver(rows=1, example=f"{place}: {reject.detail}"))
            if self._give_up():
                message = "what is known ahead is not read to its end: the replica ends"
                raise Unavailable(message)
        if self._is_other:
            self._know(self._rows.table())
        if not self._has_begun:
            seconds = self._ticks() - began_at
            self._tell(KnownRead(records=self._records, rows=len(self._rows), seconds=seconds))
        self._read_at, self._is_other, self._has_begun = began_at, False, True

    def close(self) -> None:
        """Let go. Idempotent."""
        self._topic.close()

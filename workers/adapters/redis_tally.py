"""The tally of one view in Redis, by which writers detect lost data: see `undertow.stream.store_tally`.

In: a client. Out: `Tally`s. One slot of a cluster holds it, so a loss of its other nodes is not seen. Knows no vector.
"""

from collections.abc import Sequence
from typing import Any

from undertow.stream.store_tally import Tally

FORGET_S = 86_400
"""The count of a writer expires after a day without a look; a live writer looks every few seconds."""

_CLAIM = """
if (redis.call('HGET', KEYS[1], 'claim') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'claim', ARGV[2])
return 1
"""
_RESTORED = """
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then redis.call('HSET', KEYS[1], 'restored', ARGV[1]) end
return 1
"""
Command = tuple[Any, ...]


class RedisTally:
    """A `TalliedStore`. The commands of `count` and `look` are sent behind those that write, in one pipeline."""

    def __init__(self, client: Any, project: str, view: str, writer: str) -> None:
        """Take a client that is connected when it is used."""
        self._client = client
        self._shared = f"undertow:{{{project}:{view}}}"
        self._own = f"{self._shared}:{writer}"

    @property
    def count(self) -> Sequence[Command]:
        """Return the commands that count one write and read the tally."""
        return (("INCR", self._own), *self._look)

    @property
    def look(self) -> Sequence[Command]:
        """Return the commands that read the tally only."""
        return (("GET", self._own), *self._look)

    def read(self) -> Tally:
        """Return the present tally."""
        return tally_of([self._client.execute_command(*command) for command in self.look])

    def claim(self, held: str, new: str) -> bool:
        """Compare-and-set: replace the claim `held` by `new`."""
        return bool(self._client.eval(_CLAIM, 1, self._shared, held, new))

    def restored(self, claim: str) -> None:
        """Mark the claim as restored, unless more was lost since."""
        self._client.eval(_RESTORED, 1, self._shared, claim)

    @property
    def _look(self) -> Sequence[Command]:
        return (("EXPIRE", self._own, FORGET_S), ("HMGET", self._shared, "claim", "restored"))


def tally_of(replies: Sequence[Any]) -> Tally:
    """Return what the replies to `count` or `look` say; raise the first that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    count, _, (claim, restored) = replies
    return Tally(claim=_text(claim), restored=_text(restored), count=int(count or 0))


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""

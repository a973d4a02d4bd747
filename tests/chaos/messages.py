"""What a producer sends: messages, and what makes them.

In: nothing. Out: plain data, and the Protocol of who makes messages. Knows neither broker nor fleet.
"""

from typing import NamedTuple, Protocol

NUMBER = "number"
"""The header with the number of a message."""


class Message(NamedTuple):
    """One record, before it is sent; it goes to the partition `site` modulo how many there are."""

    site: int
    key: bytes
    value: bytes
    number: int | None = None
    """None where nothing good is in it: then it need not be in the topic."""


class Content(Protocol):
    """What is sent. One thread at a time calls it."""

    def batch(self, partitions: int) -> list[Message]:
        """Return what comes next."""

    def rest(self) -> list[Message]:
        """Return what was held back and has not come yet."""

    def probe(self, partitions: int) -> tuple[list[Message], dict[str, int]]:
        """Return messages for every partition, and by site the event that becomes readable by them, in steps."""

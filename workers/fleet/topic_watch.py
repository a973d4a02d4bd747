"""Poll the topic while a fleet runs: partitions may be added, and the topic may be deleted or re-created.

In: a request to the broker. Out: calls to the controller. Runs in a thread of its own, since an answer may take long.
Knows neither Ray nor what follows from the answers.
"""

import logging
from collections.abc import Callable, Iterable

from undertow.adapters.kafka_admin import TopicInfo
from undertow.core.errors import UndertowError
from undertow.fleet.daemon import start_daemon
from undertow.schemas.records import Partition

log = logging.getLogger(__name__)

DOUBT_S = 1.0
DOUBTS = 3
"""A broker that has just started may give stale answers: this many in a row are believed."""


class TopicWatch:
    """Evaluates the broker's answers about the topic."""

    def __init__(
        self,
        topic_id: str,
        *,
        ask: Callable[[], TopicInfo | None],
        grow: Callable[[Iterable[Partition]], object],
        fail: Callable[[str], object],
    ) -> None:
        """`topic_id` is that of the topic at the fleet's start; `ask` returns None where there is no topic."""
        self._topic_id, self._ask, self._grow, self._fail = topic_id, ask, grow, fail
        self._doubts = 0

    def look(self) -> bool:
        """Poll once; return whether the topic is unchanged. An unavailable broker is ignored."""
        try:
            topic = self._ask()
        except UndertowError as error:
            log.info("the topic could not be looked at: %s", error)
            return True
        if topic is not None and topic.topic_id == self._topic_id:
            self._doubts = 0
            self._grow(Partition(topic.name, index) for index in range(topic.partitions))
            return True
        self._doubts += 1
        if self._doubts >= DOUBTS:
            found = "there is none any more" if topic is None else f"the one of this name has the id {topic.topic_id}"
            self._fail(
                f"the topic that this fleet reads, of id {self._topic_id}, was deleted or made anew: {found}. Its "
                "offsets begin again, so nothing more is read; start the fleet again to be told what to do"
            )
        return False

    def start(self, look_for_partitions_seconds: float) -> None:
        """Poll so often from now on."""
        start_daemon("the look at the topic", lambda: look_for_partitions_seconds if self.look() else DOUBT_S)

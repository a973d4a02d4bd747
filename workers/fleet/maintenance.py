"""When the fleet's log is maintained, and what came of it: one run at a time, again and again until the fleet drains.

In: a pause, a maintainer, ticks. Out: orders to it, log lines, a status. Knows no Ray (`undertow.fleet.ray_maintainer`)
and nothing of folding. It keeps nothing that must last: a restarted controller begins with a pause.
"""

import logging
from dataclasses import replace
from typing import Protocol

from undertow.core.secret_mask import MaskText, mask_patterns
from undertow.fleet.maintain_status import MaintainReport, MaintainStatus
from undertow.stream.ports import Clock
from undertow.telemetry.logs import say

log = logging.getLogger(__name__)

LONGEST_S = 6 * 3600.0
"""A run that takes longer is taken to hang, and is ended: what it has committed by then stays. A choice."""


class Maintainer(Protocol):
    """A process that maintains the log when told to. No call blocks."""

    def begin(self) -> bool:
        """Order a run, in a process that is made if there is none; False where a former one has still to end."""

    def look(self) -> MaintainReport | str | None:
        """Return what the run did; a string where it failed, with the reason; None while it goes on."""

    def end(self) -> None:
        """Kill the process, if there is one: a run may be killed at any step."""


class Maintenance:
    """Maintains one fleet's log. One thread calls `tick` and `end`; any may call `status`."""

    def __init__(
        self, maintain_seconds: float, maintainer: Maintainer, clock: Clock, *, mask: MaskText = mask_patterns
    ) -> None:
        """Wait for the first pause, so that a fleet that ends before pays nothing. With 0 seconds nothing ever runs."""
        self._pause, self._maintainer, self._clock, self._mask = maintain_seconds, maintainer, clock, mask
        self._next_at = clock() + maintain_seconds
        self._begun_at: float | None = None
        self._done_at = clock()
        self._known = MaintainStatus(age_s=0.0)

    def tick(self, *, is_ending: bool) -> None:
        """Begin a run that is due, or take in what one did. In a fleet that ends none begins."""
        now = self._clock()
        if self._begun_at is None and (not self._pause or is_ending or now < self._next_at):
            return
        try:
            answer = self._ask(now)
        except Exception as error:
            log.exception("the maintainer could not be asked")
            answer = f"{type(error).__name__}: {error}"
        if answer is not None:
            self._begun_at, self._next_at = None, self._clock() + self._pause
            self._hear(answer)

    def end(self) -> None:
        """End what runs."""
        self._maintainer.end()

    def status(self) -> MaintainStatus | None:
        """Return what is known; None where the fleet maintains no log."""
        return replace(self._known, age_s=self._clock() - self._done_at) if self._pause else None

    def _ask(self, now: float) -> MaintainReport | str | None:
        if self._begun_at is None:
            self._begun_at = now if self._maintainer.begin() else None
            return None
        answer = self._maintainer.look()
        if answer is None and now - self._begun_at > LONGEST_S:
            self._maintainer.end()
            return f"a run had not ended after {LONGEST_S / 3600:.0f} hours, and was ended"
        return answer

    def _hear(self, answer: MaintainReport | str) -> None:
        before = self._known
        done = MaintainReport(pid=before.pid, faults=(answer,)) if isinstance(answer, str) else answer
        text, fault = self._mask(done.text), self._mask("; ".join(done.faults)) or None
        if text:
            say(log, logging.INFO, "maintained", text, rows=done.rows)
        if fault is not None and fault != before.fault:
            say(log, logging.WARNING, "not-maintained", f"left as it is, until the next time: {fault}", error=fault)
        if fault is None and before.fault is not None:
            say(log, logging.INFO, "maintained-again", f"goes on after: {before.fault}", error=before.fault)
        if fault is None:
            self._done_at = self._clock()
        self._known = MaintainStatus(
            age_s=0.0,
            runs=before.runs + (fault is None),
            rows=before.rows + done.rows,
            last=text or before.last,
            fault=fault,
            pid=done.pid,
        )

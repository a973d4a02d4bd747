"""What a maintainer did, and what the fleet knows of its maintenance.

In: nothing. Out: frozen plain data that travels between processes. Knows neither Ray nor the log.
"""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintainReport:
    """What one run did to the log, all views together."""

    pid: int
    rows: int = 0
    """Put into the table of history."""
    text: str = ""
    """What was changed, in words; empty where nothing was."""
    faults: tuple[str, ...] = ()
    """Why something was left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintainStatus:
    """How the log is maintained, since the controller began."""

    age_s: float
    """Since a run last left nothing undone; before the first, since the controller began."""
    runs: int = 0
    """Runs that left nothing undone."""
    rows: int = 0
    """Put into the table of history."""
    last: str = ""
    """What was changed by the last run that changed anything."""
    fault: str | None = None
    """Why the last run left something as it is."""
    pid: int = 0
    """The process that ran last; 0 before the first."""

    def __str__(self) -> str:
        """Return it in words."""
        since = f"maintained {self.age_s:,.0f} s ago" if self.runs else "not maintained yet by this fleet"
        last = f"; last: {self.last}" if self.last else ""
        return f"{since}{last}" + (f"; left as it is: {self.fault}" if self.fault else "")

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `undertow status --json`."""
        return asdict(self)

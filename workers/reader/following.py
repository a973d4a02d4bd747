"""Which space a reader reads: that which is promoted by now, or one that it is pinned to.

In: records of what is served, as they are read again. Out: a `ServedSpace`; a call for each change. Knows no store.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from undertow.core.errors import Refused
from undertow.schemas.served import Served, ServedSpace, record_name

log = logging.getLogger(__name__)

APPLY = "run: undertow apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceChange:
    """Another space was promoted: from here on vectors are not comparable with those before."""

    name: str
    before: str
    """The view that was read till now."""
    after: str
    """The view that is read from now on."""
    space: str
    """The full identity of that space."""


OnChange = Callable[[SpaceChange], object]


class Following:
    """What is known of a name by now. Any thread may ask and tell."""

    def __init__(
        self,
        *,
        name: str,
        project: str,
        pin: str,
        where: str,
        look_every_s: float,
        on_change: OnChange | None,
        monotonic: Callable[[], float],
    ) -> None:
        """`pin` is a view's name, or the beginning of a space's identity; `where` names the store in messages."""
        self.name, self.project = name, project
        self._pin, self._where, self._every_s = pin, where, look_every_s
        self._on_change, self._monotonic = on_change, monotonic
        self._lock = Lock()
        self._text = ""
        self._space: ServedSpace | None = None
        self._looked = float("-inf")

    @property
    def space(self) -> ServedSpace | None:
        """The space to read; None before the first look."""
        return self._space

    @property
    def record(self) -> str:
        """The name of the record that is followed."""
        return record_name(self.project, self.name)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return self._monotonic() - self._looked >= self._every_s

    def find_project(self, records: Sequence[str]) -> None:
        """Take the one project of a store that serves this name. Raises `Refused`."""
        pairs = [record.rpartition("/")[::2] for record in records]
        projects = sorted(project for project, name in pairs if name == self.name)
        if len(projects) == 1:
            (self.project,) = projects
            return
        if projects:
            message = f"{self._where}: projects that serve {self.name!r}: {', '.join(projects)}; say project="
            raise Refused(message)
        known = ", ".join(sorted({name for _, name in pairs})) or "nothing"
        message = f"{self._where} serves no {self.name!r}, but: {known}; {APPLY}"
        raise Refused(message)

    def take(self, text: str | None) -> bool:
        """Take the record as it is by now; return whether another space is to be read. Raises `Refused`."""
        with self._lock:
            self._looked = self._monotonic()
            if text is None and self._space is not None:
                self._tell_of_loss()
                return False
            if text == self._text:
                return False
            space = self._chosen(text)
            before, self._text, self._space = self._space, text or "", space
        if before is None or before.space == space.space:
            return before != space
        change = SpaceChange(name=self.name, before=before.view, after=space.view, space=space.space)
        log.info("%s is %s from now on, and was %s", change.name, change.after, change.before)
        if self._on_change is not None:
            self._on_change(change)
        return True

    def _tell_of_loss(self) -> None:
        """Go on with what is known: a store that was emptied is filled again by its fleet, with the same space."""
        if self._text:
            log.warning(
                "%s no longer says what %s is: reading on from what was known; %s", self._where, self.name, APPLY
            )
        self._text = ""

    def _chosen(self, text: str | None) -> ServedSpace:
        if text is None:
            message = f"{self._where} does not say what {self.name!r} of project {self.project!r} is; {APPLY}"
            raise Refused(message)
        try:
            served = Served.from_text(text)
        except ValueError as error:
            message = (
                f"{self._where}: what is said of {self.name!r} cannot be read ({error}): written by a later version?"
            )
            raise Refused(message) from error
        views = ", ".join(one.view for one in served.spaces) or "none"
        if self._pin:
            found = [one for one in served.spaces if one.view == self._pin or one.space.startswith(self._pin)]
            if len(found) == 1:
                return found[0]
            message = (
                f"{self._where}: expected one space {self._pin!r} of {self.name!r}, found {len(found)} among: {views}"
            )
            raise Refused(message)
        space = next((one for one in served.spaces if one.view == served.promoted), None)
        if space is None:
            message = f"{self._where}: no space of {self.name!r} is promoted, of: {views} (undertow apply --promote)"
            raise Refused(message)
        return space

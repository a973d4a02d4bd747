"""Mask the secrets of a process in texts that nobody foresaw, such as an error of a vendor or a traceback.

In: functions that return the secrets there are; texts, errors. Out: the texts without secrets, and errors that may be
shown. Knows neither settings nor vendors.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from undertow.core.errors import UndertowError
from undertow.core.masking import masked, without

MaskText = Callable[[str], str]
"""Returns a text without secrets; never raises."""

MOST = 64
"""So many secrets are remembered, the newest: a token may be replaced each minute for as long as the process lives."""


def mask_patterns(text: str) -> str:
    """Mask whatever looks like a secret: a login in a URL, `password=...`, an authorization header, a private key."""
    return str(masked("", text))


class SecretMask:
    """A `MaskText` of known secrets, and of whatever looks like one.

    The sources are asked at each text, since a secret's file may be replaced while the process runs. What they said
    before is masked, too: an error may tell of the login that has just been replaced.
    """

    def __init__(self, *sources: Callable[[], Iterable[str]]) -> None:
        """Ask all sources once."""
        self._sources = sources
        self._known: tuple[str, ...] = ()
        self._ask()

    def __call__(self, text: str) -> str:
        """Mask a text. Reads the secrets' files, so it is for texts of faults and for lines, not for records."""
        return mask_patterns(self.known(text))

    def known(self, text: str) -> str:
        """Mask the known secrets alone: a text of ours may explain how an address with a password is written."""
        return without(text, self._ask()) if text else text

    def _ask(self) -> tuple[str, ...]:
        found: list[str] = []
        for source in self._sources:
            try:
                found.extend(source())
            except Exception:  # noqa: BLE001, S112 whoever masks reports another error, which this one would hide
                continue
        known = tuple(dict.fromkeys((*found, *self._known)))
        self._known = known[:MOST]
        return known


@contextmanager
def masked_faults(mask: MaskText) -> Iterator[None]:
    """Let errors out only without secrets: ours with their masked text, others as a `RuntimeError` with their trace.

    For code that a vendor calls, and whose errors it shows and keeps, as Ray does with those of actors.
    """
    try:
        yield
    except UndertowError as error:
        raise type(error)(mask(str(error))) from None
    except Exception as error:  # noqa: BLE001 it is raised again
        raise RuntimeError(mask("".join(traceback.format_exception(error)).rstrip())) from None

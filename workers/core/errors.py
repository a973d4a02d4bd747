"""The kinds of errors, by what the caller does: stop, retry, leave, or look again.

Everything else is a bug and propagates. A message says what was expected, what was found, and how to see or fix it.
"""


class UndertowError(Exception):
    """The parent of what we raise on purpose; its text is fit for a user."""


class Refused(UndertowError):  # noqa: N818 the three names say what the caller does
    """Stop: a setting, an artifact or a store is not as it must be. Commands print the text and exit with 1."""


class Unavailable(UndertowError):  # noqa: N818 likewise
    """Try again: a store or broker did not answer, or refused for now. Nothing was lost."""


class Diverged(UndertowError):  # noqa: N818 likewise
    """Look again where to read: the broker no longer holds what was read last, though it is the same topic."""


class Replaced(UndertowError):  # noqa: N818 likewise
    """Leave: another owner has appended at our place in the partition's chain, so this replica's work is not ours."""

"""The kinds of errors, by what the caller does: stop, retry, leave, or find its place again.

Everything else is a bug and propagates. A message says what was expected, what was found, and how to see or fix it.
"""


class UndertowError(Exception):
    """Base class of the errors that are raised on purpose; the message is written for users."""


class Refused(UndertowError):  # noqa: N818 these names say what the caller does
    """Stop: a setting, an artifact or a store is wrong, and retrying cannot help. Commands print it and exit with 1."""


class WrongUsage(Refused):
    """Stop: what was typed cannot be meant, whatever is read. Commands print it with their usage and exit with 2."""


class EndedBySignal(KeyboardInterrupt):
    """Stop: a person or a supervisor ended this process by a signal; the message says what is left to do.

    An interrupt, so that no `except Exception` takes it for a failure, and who calls a command's work as a part of
    their own handles it as any Ctrl-C. Commands print it and exit with 1.
    """


class Unavailable(UndertowError):  # noqa: N818 likewise
    """Retry: a store or broker did not answer, or refused temporarily. Nothing was lost."""


class Diverged(UndertowError):  # noqa: N818 likewise
    """Find the place to read from again: it is the same topic, but the broker lost the record that was read last."""


class Replaced(UndertowError):  # noqa: N818 likewise
    """Leave the partition: another replica has appended at our place in its chain, so it is the owner now (a fence)."""

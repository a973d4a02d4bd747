"""Close several resources, even where closing some of them fails.

In: functions that close one each. Out: all closed; the first error. Knows nothing of what is closed.
"""

from collections.abc import Callable


def close_all(*closes: Callable[[], object]) -> None:
    """Call each in turn, even after an error; then raise the first error, with the later ones as its notes."""
    first: BaseException | None = None
    for close in closes:
        try:
            close()
        except BaseException as error:  # noqa: BLE001 raised below
            if first is None:
                first = error
            else:
                first.add_note(f"and then: {type(error).__name__}: {error}")
    if first is not None:
        raise first

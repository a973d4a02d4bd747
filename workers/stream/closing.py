"""Closing several parts, whichever of them fail.

In: what closes each. Out: all closed; the first error. Knows nothing of what is closed.
"""

from collections.abc import Callable


def close_all(*closes: Callable[[], object]) -> None:
    """Call each in turn, whatever the others raise; then raise the first error, which names the later ones in notes."""
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

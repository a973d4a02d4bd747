"""Numbers in sentences, by one rule: 1 window, 2 windows; 24 steps, 1 to 24 steps.

In: numbers and a noun. Out: text. Knows no message.
"""


def counted(count: int, noun: str) -> str:
    """Return the count with its noun, in the plural (with an s) unless it is 1."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def are(count: int) -> str:
    """Return `is` or `are`, as the count requires."""
    return "is" if count == 1 else "are"


def between(least: int, most: int, noun: str) -> str:
    """Return a range with its noun, or one number if both ends are equal."""
    return counted(most, noun) if least == most else f"{least:,} to {counted(most, noun)}"

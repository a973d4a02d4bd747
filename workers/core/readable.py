"""Escape untrusted text for terminals and logs.

In: what stands in records, headers, files and the errors of vendors. Out: one line of printable letters. Knows nothing
of terminals: what a library takes for markup is its caller's matter.
"""


def readable(text: str, longest: int | None = None) -> str:
    r"""Return the text with all that does not print as an escape (`\x1b`, `\n`, `\u202e`), cut after `longest` letters.

    Such letters move the cursor, set the title of a window, turn the direction of what follows, or end a line of a log.
    """
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]}..."
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def one_line(text: str) -> str:
    """Return the text with its line breaks as spaces, and otherwise readable."""
    return readable(" ".join(text.split()))

"""Escape untrusted text for terminals and logs.

In: text from records, headers, files and vendors' errors. Out: one line of printable characters. Knows nothing of
terminals: escaping a library's markup is its caller's task.
"""


def readable(text: str, longest: int | None = None) -> str:
    r"""Escape every character that does not print (`\x1b`, `\n`, `\u202e`), and cut the text after `longest` of them.

    Such characters can move the cursor, set a terminal's title, reverse the direction of text, or forge a log line.
    """
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]}..."
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def one_line(text: str) -> str:
    """Replace line breaks by spaces, and escape the rest as `readable` does."""
    return readable(" ".join(text.split()))

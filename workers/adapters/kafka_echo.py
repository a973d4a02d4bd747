"""What stands beside a committed offset: for whom it was committed.

In: the name of a view, texts. Out: texts, verdicts. One group serves one artifact after another, and each has come as
far as it has: an offset that was committed for another view says nothing of ours.
"""

import json


def echo_note(view: str) -> str:
    """Return what to commit with an offset; nothing where it is for nobody in particular."""
    return json.dumps({"view": view}) if view else ""


def is_anothers(note: str | None, view: str) -> bool:
    """Whether the note names another view. An operator's tool, or an earlier version of ours, names none."""
    if not note or not view:
        return False
    try:
        said = json.loads(note)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("view", view) != view

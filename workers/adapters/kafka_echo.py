"""What stands beside a committed offset: for whom it was committed, and of which topic.

In: the name of a view, the id of a topic, texts. Out: texts, verdicts. One group serves one artifact after another, and
each has come as far as it has: an offset that was committed for another view says nothing of ours. One that was
committed for another topic of the same name says nothing of the one that is there now.
"""

import json


def echo_note(view: str, topic_id: str = "") -> str:
    """Return what to commit with an offset; nothing where it is for nobody in particular."""
    said = {name: value for name, value in (("view", view), ("topic", topic_id)) if value}
    return json.dumps(said) if said else ""


def is_anothers(note: str | None, view: str, topic_id: str = "") -> bool:
    """Whether the note names another view or topic. An operator's tool, or an earlier version of ours, names none."""
    if not note:
        return False
    try:
        said = json.loads(note)
    except ValueError:
        return False
    if not isinstance(said, dict):
        return False
    ours = {"view": view, "topic": topic_id}
    return any(mine and said.get(name, mine) != mine for name, mine in ours.items())

"""The metadata of a committed offset: for which view it was committed, and of which topic id.

In: the name of a view, the id of a topic, texts. Out: texts, verdicts. Knows no client. One group serves one artifact
after another, each with its own progress, so another view's offset does not apply to ours, nor does one of an earlier
topic of the same name.
"""

import json


def echo_note(view: str, topic_id: str = "") -> str:
    """Return the metadata to commit with an offset; empty without a view."""
    said = {name: value for name, value in (("view", view), ("topic", topic_id)) if value}
    return json.dumps(said) if said else ""


def is_anothers(note: str | None, view: str, topic_id: str = "") -> bool:
    """Whether the metadata names another view or topic. Operators' tools and our earlier versions name none."""
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

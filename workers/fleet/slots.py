"""Slots: what of a replica's name stays when it is replaced, so that whoever watches a fleet sees few series.

In: the names of the living. Out: a name that nobody has had, in a slot that nobody has. Knows nothing of replicas.

The slot is in the name, and Ray keeps the names: a controller that is started again finds the slots as they were.
"""

import re
import uuid
from collections.abc import Iterable
from itertools import count

_IN_NAME = re.compile(r"replica-(\d+)(?:-|$)")


def new_name(living: Iterable[str]) -> str:
    """Return `replica-<slot>-<6 letters>`, in the lowest slot that none of these takes.

    The letters differ each time: a name is Ray's until the process that had it is gone.
    """
    taken = {slot_of(name) for name in living}
    slot = next(slot for slot in map("replica-{}".format, count()) if slot not in taken)
    return f"{slot}-{uuid.uuid4().hex[:6]}"


def slot_of(name: str) -> str:
    """Return the slot, such as `replica-0`; a name without one is its own."""
    found = _IN_NAME.match(name)
    return f"replica-{found[1]}" if found else name

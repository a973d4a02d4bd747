"""Slots: the part of a replica's name that its replacement keeps, so that metrics have few label values.

In: the names of the living. Out: a new name in the lowest free slot. Knows nothing of replicas.

The slot is in the name, and Ray keeps the names: a restarted controller finds the slots unchanged.
"""

import re
import uuid
from collections.abc import Iterable
from itertools import count

_IN_NAME = re.compile(r"replica-(\d+)(?:-|$)")


def new_name(living: Iterable[str]) -> str:
    """Return `replica-<slot>-<6 letters>`, in the lowest free slot.

    The letters differ each time: Ray reserves a name until its process is gone.
    """
    taken = {slot_of(name) for name in living}
    slot = next(slot for slot in map("replica-{}".format, count()) if slot not in taken)
    return f"{slot}-{uuid.uuid4().hex[:6]}"


def slot_of(name: str) -> str:
    """Return the slot, such as `replica-0`; a name without one is its own."""
    found = _IN_NAME.match(name)
    return f"replica-{found[1]}" if found else name

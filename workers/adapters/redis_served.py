"""The records of what is served, in Redis: one hash, a field for each name of each project.

In: Feast's `online_store` section, texts. Out: the hash. Knows nothing of what a record says.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from undertow.adapters.redis_address import WAITS
from undertow.adapters.redis_client import connect
from undertow.adapters.redis_faults import translated
from undertow.schemas.served import record_name

KEY = b"undertow:served"
"""Feast scans for keys that begin with an entity's serialized ids, so it never takes this one for a row."""


def write_redis_served(options: Mapping[str, Any], project: str, records: Mapping[str, str]) -> None:
    """Let these be the records of the project, by name. Raises `Unavailable` or `Refused`."""
    fields = {record_name(project, name).encode(): text for name, text in records.items()}
    with translated(options, "write what is served"), contextlib.closing(connect(options, WAITS)) as client:
        gone = [name for name in client.hkeys(KEY) if name.startswith(f"{project}/".encode()) and name not in fields]
        if fields:
            client.hset(KEY, mapping=fields)  # one command, so a reader sees all of it or nothing
        if gone:
            client.hdel(KEY, *gone)

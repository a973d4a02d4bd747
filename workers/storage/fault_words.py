"""What a disk or a store says of a path, and what its user can do about it.

In: an `OSError` of a path. Out: the end of a sentence. Knows nothing of what lies at the path.
"""

from pathlib import Path

from undertow.storage.store_path import AnyPath

LET_READ = "give this user the right to read it"
STORE = "see the section store of the settings"


def why(path: AnyPath, error: OSError, mend: str) -> str:
    """Return what happened, in brackets, and what to do: `mend` on a disk. Of a store the sentence has the address."""
    if isinstance(path, Path):
        return f"({error.strerror if isinstance(error, PermissionError) else error}); {mend}"
    return f"({error.strerror or error}); {STORE}"

"""What a disk or a store says of a path, and what its user can do about it.

In: an `OSError` of a path. Out: the end of a sentence. Knows nothing of what lies at the path.
"""

import os
from pathlib import Path

from undertow.storage.store_path import AnyPath

LET_READ = "give this user the right to read it"
READ_ONLY = "Read-only file system"
STORE = "see the section store of the settings"


def refuses_writing(path: AnyPath, error: Exception) -> str:
    """Return why a path cannot be written, and what to do, where that is what an error of it says; else nothing."""
    if not isinstance(path, Path):
        return ""
    if READ_ONLY in str(error):
        return f"cannot be written ({READ_ONLY.lower()}): mount it for writing"
    # Who may read what is there and gets this error was to write it, or into its folder.
    if isinstance(error, PermissionError) and os.access(path, os.R_OK):
        return f"cannot be written ({error.strerror}): give this user the right to write it, and its folder"
    return ""


def why(path: AnyPath, error: OSError, mend: str) -> str:
    """Return what happened, in brackets, and what to do: `mend` on a disk. Of a store the sentence has the address."""
    if isinstance(path, Path):
        return f"({error.strerror if isinstance(error, PermissionError) else error}); {mend}"
    return f"({error.strerror or error}); {STORE}"

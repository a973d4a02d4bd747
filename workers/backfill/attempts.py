"""Count the attempts at each chunk: a killed worker reports nothing, so each attempt is noted before it begins.

In: a folder that all workers of one run see. Out: notes there, and why a chunk is not begun again. Knows no Ray.
"""

import contextlib
import os
import shutil
import uuid
from pathlib import Path

from undertow.core.errors import Refused, Unavailable
from undertow.storage.store_path import AnyPath

MOST_DEATHS = 3
"""After so many deaths at one chunk the run fails. A single death may have any cause, such as a lost node, but Ray
itself would retry for ever. 3 is a choice."""
THRESHOLD = "RAY_memory_usage_threshold"
RAYS_OWN_THRESHOLD = "0.95"


class Attempts:
    """The notes of one run."""

    def __init__(self, folder: AnyPath) -> None:
        """`folder` belongs to this run alone, and need not exist yet."""
        self._folder = folder

    def begin(self, chunk: str) -> None:
        """Note that a chunk is begun. Raises `Refused` after `MOST_DEATHS` workers died of it, `Unavailable`."""
        try:
            deaths = len([*self._folder.glob(f"{chunk}.*")])
            if deaths < MOST_DEATHS:
                if isinstance(self._folder, Path):
                    self._folder.mkdir(parents=True, exist_ok=True)
                (self._folder / f"{chunk}.{uuid.uuid4().hex}").write_bytes(b"")
                return
        except OSError as error:
            message = f"what a backfill begins could not be noted in {self._folder} ({error}); repair or free its disk"
            raise Unavailable(message) from error
        threshold = os.environ.get(THRESHOLD, RAYS_OWN_THRESHOLD)
        message = (
            f"{deaths} workers in a row were killed while they embedded it, and left no word. Most likely there is too "
            f"little memory: Ray ends workers while more than {threshold} of a node's is in use. Let fewer work at "
            "once (backfill.replicas), stop what else runs there, give the node more, or start Ray with a higher "
            f"{THRESHOLD}. Else the model's native code crashed. Ray's own word: raylet.out and worker-*.err in the "
            "folder logs of its session"
        )
        raise Refused(message)

    def end(self, chunk: str) -> None:
        """Remove the note of a chunk that has ended, successfully or not."""
        for note in self._folder.glob(f"{chunk}.*"):
            note.unlink(missing_ok=True)

    def count(self) -> tuple[int, int]:
        """Return how many chunks are begun and not ended, and how many workers have died of these."""
        notes = [path.name.partition(".")[0] for path in self._folder.glob("*.*")]
        return len(set(notes)), len(notes) - len(set(notes))

    def close(self) -> None:
        """Remove the folder at the end of the run."""
        if isinstance(self._folder, Path):
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            for note in self._folder.glob("*"):
                note.unlink(missing_ok=True)

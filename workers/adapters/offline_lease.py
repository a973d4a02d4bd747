"""A fleet's heartbeat in the offline log, for all its writers: text in a file beside the chains of a topic.

In: a view's folder, a topic, texts. Out: the last text written. Knows nothing of its writers and its meaning.
"""

from pathlib import Path

from undertow.adapters.offline_files import require_folder
from undertow.core.errors import Unavailable
from undertow.core.publication import replace_file

FOLDER = "_fleets"
"""Below a view's folder. Readers of Parquet look into no such folder."""


class FileLease:
    """Reads and writes the text."""

    def __init__(self, home: Path, topic: str) -> None:
        """Touch nothing yet."""
        self._home, self._path = home, home / FOLDER / f"{topic}.json"

    def read(self) -> str:
        """Return what was written last, empty where nothing was. Raises `Unavailable`."""
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            message = f"{self._path} could not be read ({error}); it will be tried again"
            raise Unavailable(message) from error

    def write(self, text: str) -> None:
        """Replace it; nobody ever sees half of it. Raises `Unavailable`."""
        try:
            require_folder(self._home)
            self._path.parent.mkdir(exist_ok=True)
            replace_file(self._path, text.encode(), is_durable=False)  # a machine that crashed has no fleet alive
        except OSError as error:
            message = f"{self._path} could not be written ({error}); it will be tried again"
            raise Unavailable(message) from error

    def close(self) -> None:
        """Let go: nothing is held."""

"""A fleet's heartbeat in the offline log, visible to all its writers: a text in a file beside the chains of a topic.

In: a view's folder, a topic, texts. Out: the last text written. Knows neither its writers nor its meaning.
"""

from undertow.adapters.offline_files import replace, require_folder
from undertow.core.errors import Unavailable
from undertow.storage.store_path import AnyPath

FOLDER = "_fleets"
"""The folder inside a view's. Readers of Parquet ignore folders that begin with an underscore."""


class FileLease:
    """Reads and writes the text."""

    def __init__(self, home: AnyPath, topic: str) -> None:
        """Touch nothing yet."""
        self._home, self._path = home, home / FOLDER / f"{topic}.json"

    def read(self) -> str:
        """Return the text written last, empty if there is none. Raises `Unavailable`."""
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            message = f"{self._path} could not be read ({error}); it will be tried again"
            raise Unavailable(message) from error

    def write(self, text: str) -> None:
        """Replace the text atomically. Raises `Unavailable`."""
        try:
            require_folder(self._home)
            replace(self._path, text.encode(), is_durable=False)  # a machine that crashed has no fleet alive
        except OSError as error:
            message = f"{self._path} could not be written ({error}); it will be tried again"
            raise Unavailable(message) from error

    def close(self) -> None:
        """Do nothing: no resource is held."""

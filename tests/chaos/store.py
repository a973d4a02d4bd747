"""The object store in which a chaos run keeps the log, where it is told to.

In: a folder. Out: a server, the line to it, the settings by which a fleet reaches it. Knows nothing of faults.
"""

from pathlib import Path

from tests.s3_line import Fate, Line
from tests.s3_server import BUCKET, S3Server
from undertow.storage.store_path import StorePath


class Store:
    """An object store, and the line to it, on which replies are lost or refused."""

    def __init__(self, folder: Path) -> None:
        self.server, self.fate = S3Server(folder, leashed=True), always
        self.line = Line(self.server.port, self._draw)
        self.root = StorePath.parse(f"s3://{BUCKET}/offline", self.server.options(self.line.port))

    def _draw(self) -> Fate:
        return self.fate()

    @property
    def bucket(self) -> Path:
        """Where the server keeps the bucket."""
        return self.server.folder / BUCKET

    def on_disk(self, path: StorePath) -> Path:
        """Return where the server keeps what lies below a path."""
        return self.bucket / path.key

    def settings(self) -> dict[str, str]:
        """Return the section `store`, but for the secret, which comes from the environment."""
        options = self.server.options(self.line.port)
        return {"endpoint": options.endpoint, "region": options.region, "access_key_id": options.access_key_id}

    def close(self) -> None:
        self.line.close()
        self.server.kill()


def always() -> Fate:
    """Carry each request and its reply."""
    return "pass"

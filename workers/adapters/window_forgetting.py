"""Requests to let go of series that a fleet holds observations of, beside its snapshots: `@windows/@forget/`.

In: the keys of series in a partition. Out: files, one a partition and command, each of which the replica that reads the
partition deletes when it holds the series no more. Knows no id: a key is a digest.
"""

import re
import uuid

import numpy as np

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_parts import translated
from undertow.adapters.window_snapshots import FOLDER
from undertow.observations.series_keys import Keys
from undertow.schemas.records import Partition
from undertow.storage.store_path import AnyPath
from undertow.stream.snapshot_ports import ForgetRequest

_ASKED = "@forget"
"""The folder beside those of topics, whose names cannot contain an @."""
_NAME = re.compile(r"(?P<topic>[^@]+)@(?P<index>[0-9]+)@[0-9a-f]{32}\.digests").fullmatch


class FileForgetRequests:
    """The requests of one view."""

    def __init__(self, home: AnyPath) -> None:
        """`home` is the view's folder, which must have been claimed."""
        self._home = home

    def ask(self, partition: Partition, keys: Keys) -> ForgetRequest:
        """Ask whoever reads a partition to let go of series; durable on return. Raises `Refused`, `Unavailable`."""
        name = f"{partition.topic}@{partition.index}@{uuid.uuid4().hex}.digests"
        publish(self._folder / name, keys.astype("<u8").tobytes(), within=self._home)
        return ForgetRequest(name=name, partition=partition, keys=keys)

    def pending(self) -> list[ForgetRequest]:
        """Return the requests that nobody has fulfilled yet. Raises `Refused`, `Unavailable`."""
        found = []
        with translated(self._folder):
            try:
                names = sorted(path.name for path in self._folder.iterdir())
            except FileNotFoundError:
                return []
            for name in names:
                if (match := _NAME(name)) is None:
                    continue
                try:
                    keys = np.frombuffer((self._folder / name).read_bytes(), "<u8").reshape(-1, 2)
                except FileNotFoundError:  # another replica has fulfilled it
                    continue
                partition = Partition(match["topic"], int(match["index"]))
                found.append(ForgetRequest(name=name, partition=partition, keys=keys.astype(np.uint64)))
        return found

    def fulfil(self, request: ForgetRequest) -> None:
        """Delete a request. Raises `Refused`, `Unavailable`."""
        with translated(self._folder):
            (self._folder / request.name).unlink(missing_ok=True)

    @property
    def _folder(self) -> AnyPath:
        return self._home / FOLDER / _ASKED

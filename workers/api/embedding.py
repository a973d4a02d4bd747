"""An artifact as a Python object: rows in, vectors in their order out.

In: an artifact's folder, tables of windows. Out: `Result`s. Knows neither settings nor streams.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from undertow.api.frames import table_of
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.load.loader import load as load_artifact
from undertow.core.embedder import Embedder
from undertow.core.errors import Refused
from undertow.schemas.records import Fault
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import windows_from_arrow

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result(Mapping[str, Vectors]):
    """The vectors of n rows, by feature: `result["hidden"]` is (n, d) float32, row i for row i of what was given."""

    features: Mapping[str, Vectors]
    """(n, d) each. NaN in the rows that were refused; a row that was embedded is finite."""
    faults: tuple[Fault, ...]
    """Why rows were refused: `row`, `reason`, `detail`; ascending by row."""
    space: str
    """The identity of the vector space, 64 hex digits: only vectors of one space can be compared."""

    def __getitem__(self, feature: str) -> Vectors:
        return self.features[feature]

    def __iter__(self) -> Iterator[str]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)


class ArtifactEmbedder:
    """A loaded artifact. `embed` may be called by several threads; `close`, or a `with` block, takes its hooks off."""

    def __init__(self, embedder: Embedder, manifest: Manifest) -> None:
        """Use `undertow.load`."""
        self._embedder, self._manifest, self._is_closed = embedder, manifest, False

    @property
    def name(self) -> str:
        """The artifact's name."""
        return self._manifest.name

    @property
    def space(self) -> str:
        """The identity of its vector space, 64 hex digits."""
        return self._manifest.space

    @property
    def features(self) -> Mapping[str, int]:
        """How many numbers a vector of each feature has."""
        return {one.name: one.size for one in self._manifest.features}

    def embed(self, frame: Any) -> Result:
        """Return the vectors of a table of windows, one row a window, or of a `WindowBatch`.

        A table is pandas, polars, Arrow or whatever hands out Arrow memory, nested as `undertow describe` shows it or
        flat (`undertow.api.frames.table_of`); `end` is the event time of a window's last step, with a zone or as
        integer microseconds. Raises `Refused` for a table that holds no such windows at all, and `Unavailable` where
        there is no memory; a row that is no window is among the result's `faults`.
        """
        if self._is_closed:
            message = f"this embedder of {self.name} is closed: load the artifact again"
            raise Refused(message)
        if isinstance(frame, WindowBatch):
            windows, rows, faults, count = frame, np.arange(len(frame)), [], len(frame)
        else:
            table = table_of(frame, self._manifest.contract)
            read = windows_from_arrow(table, self._manifest.contract)
            windows, rows, count = read.windows, read.rows, table.num_rows
            faults = [Fault(row=bad.row, reason=bad.reason, detail=bad.detail) for bad in read.bad]
        embedded = self._embedder.embed(windows)
        faults += [Fault(row=int(rows[one.row]), reason=one.reason, detail=one.detail) for one in embedded.faults]
        features = {name: np.full((count, size), np.nan, np.float32) for name, size in self.features.items()}
        for name, vectors in embedded.embeddings.features.items():
            features[name][rows[embedded.rows]] = vectors
        return Result(features=features, faults=tuple(sorted(faults, key=lambda one: one.row)), space=self.space)

    def close(self) -> None:
        """Take the hooks off the model. Idempotent."""
        self._is_closed = True
        self._embedder.close()

    def __reduce__(self) -> NoReturn:
        message = "an embedder holds a model with hooks and is not pickled or copied: undertow.load in each process"
        raise TypeError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load(
    path: Path | str, *, device: str = "auto", threads: int = 1, code: Collection[str] = (), run_compiled: bool = False
) -> ArtifactEmbedder:
    """Load the artifact in the folder `path`. Raises `Refused` for one that is not as it was packed.

    `device` is auto, cpu, cuda, cuda:1, ...; `threads` of a forward on the CPU are set for the whole process. `code`
    are the packages that an artifact of a model of one's own may name, which are then imported: nothing else in the
    folder is executed. `run_compiled` runs the native code that `pack(is_compiled=True)` left there.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        message = f"expected the folder of an artifact, found {path!r}"
        raise Refused(message)
    embedder = load_artifact(path, device=device, threads=threads, code=code, run_compiled=run_compiled)
    return ArtifactEmbedder(embedder, read_manifest(path))

"""Embed tables of windows with an artifact, from Python.

In: an artifact's folder, tables of windows. Out: `Result`s, with vectors in the order of the rows. Knows neither
settings nor streams.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from undertow.observations.windowed import Windows
from undertow.schemas.contract import InputContract
from undertow.schemas.records import Fault
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import windows_from_arrow

_Array = NDArray[np.float32]
_ROWS = 4096
"""How many windows of observations are made and embedded at a time: enough for a GPU, few of a million in memory."""
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result(Mapping[str, _Array]):
    """The vectors of n windows, by feature: `result["hidden"]` is (n, d) float32, in the order of the input's rows."""

    features: Mapping[str, _Array]
    """By feature, (n, d) float32. Rows that could not be embedded are NaN; all others are finite."""
    faults: tuple[Fault, ...]
    """The rows that could not be embedded, ascending: `row`, `reason` (a code), `detail` (a sentence)."""
    space: str
    """The space id, 64 hex digits. Only vectors of the same space can be compared."""

    def __getitem__(self, feature: str) -> _Array:
        try:
            return self.features[feature]
        except KeyError:
            message = f"expected a feature of the artifact ({', '.join(self.features)}), found {feature!r}"
            raise KeyError(message) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)


class ArtifactEmbedder:
    """A loaded artifact, made by `undertow.load`.

    Several threads may call `embed`. `close`, or the end of a `with` block, removes the hooks from the model.
    """

    def __init__(self, embedder: Embedder, manifest: Manifest) -> None:
        """Use `undertow.load`."""
        self._embedder, self._manifest, self._is_closed = embedder, manifest, False

    @property
    def name(self) -> str:
        """The artifact's name."""
        return self._manifest.name

    @property
    def space(self) -> str:
        """The space id of its vectors, 64 hex digits."""
        return self._manifest.space

    @property
    def features(self) -> Mapping[str, int]:
        """The number of dimensions of each feature's vectors."""
        return {one.name: one.size for one in self._manifest.features}

    @property
    def contract(self) -> InputContract:
        """What a window must contain."""
        return self._manifest.contract

    def embed(self, frame: Any) -> Result:
        """Embed a table of windows, one window in each row.

        Args:
            frame: What `undertow.windows` made of observations, a `WindowBatch`, or a table: pandas, polars, pyarrow,
                or any object with the Arrow PyCapsule interface. Its columns are nested, as `undertow describe` shows
                them (`series`, `end`, `past`, ...), or flat: one column for each id, `end`, and one for each input,
                with lists for inputs that change over time. An input known ahead has two columns then, `past.NAME` and
                `future.NAME`. `end` is the event time of the window's last step: a timestamp with a time zone, or
                integer microseconds since the epoch, UTC.

        Returns:
            The vectors in the order of the rows. A row that is not a valid window is NaN, and one of its `faults`.

        Raises:
            Refused: The table cannot hold windows of this artifact.
            Unavailable: There is not enough memory even for windows known to be good.

        Examples:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({
            ...     "site": ["north", "south"],
            ...     "end": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True),
            ...     "flow": [[0.1, 0.2, 0.3, 0.2, 0.1, 0.0], [0.5, float("nan"), 0.5, 0.4, 0.4, 0.4]],
            ...     "head": [[1.0, 1.1, 1.0, 0.9, 1.0, 1.1], [2.0, 2.1, 2.0, 2.1, 2.0, 2.1]],
            ... })
            >>> with undertow.load("artifact", code=["net"]) as embedder:
            ...     result = embedder.embed(frame)
            >>> result["hidden"].shape, result["hidden"].dtype
            ((2, 5), dtype('float32'))
            >>> [(fault.row, fault.reason) for fault in result.faults]
            [(1, 'number')]
        """
        if self._is_closed:
            message = f"this embedder of {self.name} is closed: load the artifact again"
            raise Refused(message)
        if isinstance(frame, Windows):
            made = [self.embed(batch) for batch in frame.batches(_ROWS)]
            return _in_order(made or [self.embed(frame.take(_NONE))])
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
        """Remove the hooks from the model. Idempotent."""
        self._is_closed = True
        self._embedder.close()

    def __reduce__(self) -> NoReturn:
        message = "an embedder holds a model with hooks and is not pickled or copied: undertow.load in each process"
        raise TypeError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _in_order(results: Sequence[Result]) -> Result:
    """Join the results of batches that follow each other."""
    begins = np.cumsum([0, *(len(next(iter(one.features.values()))) for one in results)]).tolist()
    return Result(
        features={name: np.concatenate([one[name] for one in results]) for name in results[0]},
        faults=tuple(
            Fault(row=fault.row + begin, reason=fault.reason, detail=fault.detail)
            for begin, one in zip(begins, results, strict=False)
            for fault in one.faults
        ),
        space=results[0].space,
    )


def load(
    path: Path | str, *, device: str = "auto", threads: int = 1, code: Collection[str] = (), run_compiled: bool = False
) -> ArtifactEmbedder:
    """Load an artifact. Nothing in its folder is unpickled or executed, except with `code` and `run_compiled`.

    Args:
        path: The folder that `undertow pack` wrote, or its address as a text: s3://..., gs://..., az://.... The store
            is then reached by the vendor's environment variables.
        device: auto, cpu, cuda, cuda:1, ...; auto is the first GPU, or else the CPU.
        threads: Threads of a forward on the CPU. Set for the whole process.
        code: Packages from which the artifact's own model class may be imported.
        run_compiled: Whether to run native code that `pack(is_compiled=True)` put there.

    Raises:
        Refused: The artifact is missing, damaged, needs a package that `code` does not list, or gives other vectors
            for its sample windows than when it was packed.
        Unavailable: There is not enough memory to load it.

    Examples:
        >>> with undertow.load("artifact", code=["net"]) as embedder:
        ...     print(embedder.name, dict(embedder.features))
        sites {'hidden': 5}
    """
    if not isinstance(path, str | os.PathLike) or os.fspath(path) in {"", b""} or "\0" in str(path):
        message = f"expected the folder of an artifact, found {path!r}"
        raise Refused(message)
    embedder = load_artifact(path, device=device, threads=threads, code=code, run_compiled=run_compiled)
    return ArtifactEmbedder(embedder, read_manifest(path))

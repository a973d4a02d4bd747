"""Vectors for the rows of a training set, point in time, from Python.

In: a table of labels with ids and times. Out: `TrainingFrame`, arrays in the order of its rows. Needs the extra
`feast`, as `undertow join` does, whose work it is.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from undertow.core.arrow_tables import arrow_table
from undertow.core.errors import WrongUsage
from undertow.core.extras import require_extras

SECOND = timedelta(seconds=1)
_Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingFrame(Mapping[str, _Array]):
    """The vectors of n labels, by feature: `training["hidden"]` is (n, d) float32, in the order of the labels."""

    labels: Any
    """What was given, as it is."""
    vectors: Mapping[str, _Array]
    """By feature, (n, d) float32; NaN in the rows for which nothing was found."""
    found: NDArray[np.bool_]
    """(n,) whether there is a vector at or before the row's time."""
    age_seconds: NDArray[np.float64]
    """(n,) how many seconds older than the row its vector is; NaN where nothing was found."""
    view: str
    """The name of the space's view, `<name>__<space8>`."""
    space: str
    """The space id, 64 hex digits. Only vectors of the same space can be compared."""

    def __getitem__(self, feature: str) -> _Array:
        try:
            return self.vectors[feature]
        except KeyError:
            message = f"expected a feature of {self.view} ({', '.join(self.vectors)}), found {feature!r}"
            raise KeyError(message) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.vectors)

    def __len__(self) -> int:
        return len(self.vectors)


def training_frame(
    labels: Any,
    *,
    features: Sequence[str] | None = None,
    time: str = "event_timestamp",
    tolerance: timedelta | None = None,
    artifact: Path | str | None = None,
    log: Path | str | None = None,
) -> TrainingFrame:
    """Find for each label the newest vectors of its series at or before its time, as `undertow join` does.

    Args:
        labels: A table with the id columns and a time: pandas, polars, Arrow, or what exports Arrow.
        features: Those wanted; by default all.
        time: The column of times. One without a zone is UTC.
        tolerance: How old a vector may be, in whole seconds; by default any age.
        artifact: The artifact; by default the setting `model.artifact` of the folder's project.
        log: The offline log's folder or address; by default the setting `offline.path`.

    Raises:
        Refused: If a column is missing or of another type, or the log has no vectors of the artifact.
        Unavailable: If the log cannot be read now.
    """
    require_extras("undertow.training_frame", "feast")
    from undertow.adapters.offline_root import view_folder  # noqa: PLC0415 pydantic, Delta Lake and DuckDB take a second
    from undertow.artifact.format.manifest import read_manifest  # noqa: PLC0415
    from undertow.history.join import join  # noqa: PLC0415
    from undertow.settings.artifact_paths import only  # noqa: PLC0415
    from undertow.settings.settings import load  # noqa: PLC0415

    if tolerance is not None and (tolerance < timedelta(0) or tolerance % SECOND):
        message = f"tolerance: expected whole seconds, at least 0, found {tolerance}"
        raise WrongUsage(message)
    given = {"model.artifact": artifact, "offline.path": log}
    settings = load([f"{key}={json.dumps(str(value))}" for key, value in given.items() if value is not None])
    view = read_manifest(only(settings.model.artifacts)).view()
    sizes = dict(view.features)
    wanted = [*sizes] if features is None else [*features]
    if unknown := [name for name in wanted if name not in sizes]:
        message = f"expected features of {view.view} ({', '.join(sizes)}), found {unknown[0]!r}"
        raise WrongUsage(message)
    rows = arrow_table(
        labels, [*(column.name for column in view.series), time], "a table of labels (pandas, polars, pyarrow)"
    )
    with tempfile.TemporaryDirectory(prefix="undertow-") as name:
        asked, answered = Path(name, "labels.parquet"), Path(name, "joined.parquet")
        pq.write_table(rows, asked)
        join(
            asked,
            answered,
            log=view_folder(settings.offline.path.absolute(), view),
            view=view,
            read_memory_bytes=settings.offline.read_memory_bytes,
            time=time,
            tolerance_s=None if tolerance is None else tolerance // SECOND,
            prefix="undertow.",
        )
        joined = pq.read_table(answered, columns=[f"undertow.{name}" for name in (*wanted, "found", "age_seconds")])
    return TrainingFrame(
        labels=labels,
        vectors={name: _matrix(joined[f"undertow.{name}"], sizes[name]) for name in wanted},
        found=joined["undertow.found"].to_numpy(),
        age_seconds=joined["undertow.age_seconds"].to_numpy().astype(np.float64),
        view=view.view,
        space=view.space,
    )


def _matrix(column: Any, size: int) -> _Array:
    """Return lists of floats, some of them null, as one array."""
    vectors: _Array = np.full((len(column), size), np.nan, np.float32)
    vectors[pc.is_valid(column).to_numpy()] = pc.list_flatten(column).to_numpy().reshape(-1, size)
    return vectors

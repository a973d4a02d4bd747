"""Fit the PCA of each feature that asks for one, on windows that the user gives.

In: an embedder of the vectors before reduction, a Parquet file or a folder of them. Out: `Fitted` for each feature with
a PCA; or a refusal. Knows no artifact and no checkpoint.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from undertow.artifact.pack.principal import Matrix, Moments, find_components
from undertow.core.embedder import Embedder
from undertow.core.errors import Refused
from undertow.core.features import Feature, TappedFeature
from undertow.core.parquet_files import find_files
from undertow.core.reduction import Reduction, project
from undertow.schemas.arrow_faults import schema_fault
from undertow.schemas.contract import InputContract
from undertow.schemas.windows_arrow import ArrowWindows, window_schema, windows_from_arrow
from undertow.schemas.wording import counted

BATCH_ROWS = 1024
TOLERANCE = 1e-5
"""How far a PCA applied in float32 may be from the one fitted in float64, relative to the largest number."""

ALONE = 64
"""How many windows are embedded once more, each alone, to compare. A choice."""
COMPANY_TOLERANCE = 1e-6
"""The largest difference of a window's vector between batches, relative to its largest number (or to 1 if smaller)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted PCA and how much it explains."""

    reduction: Reduction
    explained: tuple[float, ...]
    """The share of the variance that each component explains."""
    windows: int
    """On how many windows it was fitted."""

    def facts(self) -> dict[str, Any]:
        """Return facts for users, as plain data for `json`."""
        return {"explained_variance": list(self.explained), "fitted_on": self.windows}


def check_wish(features: Mapping[str, Feature], path: Path | None) -> None:
    """Raise `Refused` if there is a PCA but no windows to fit it on, or windows but no PCA."""
    wanted = [name for name, feature in features.items() if feature.pca is not None]
    if wanted and path is None:
        message = (
            f"the PCA of the feature {wanted[0]} is fitted on windows of yours, Parquet as for a backfill: --fit PATH"
        )
        raise Refused(message)
    if path is not None and not wanted:
        message = f"{path} is there to fit a PCA on, and no feature has one; ask for it: hidden=rnn:last,pca=16"
        raise Refused(message)


def check_sizes(features: Sequence[TappedFeature]) -> None:
    """Raise `Refused` for a PCA with more components than the vector has dimensions."""
    for one in features:
        if (one.feature.pca or 0) > one.layout.size:
            message = (
                f"the feature {one.name} ({one.feature}) has {one.layout.size} dimensions before its PCA, which cannot "
                f"leave {one.feature.pca}; ask for {one.layout.size} at most"
            )
            raise Refused(message)


def without_reduction(features: Sequence[TappedFeature]) -> tuple[TappedFeature, ...]:
    """Return the features without their reductions."""
    return tuple(replace(one, feature=replace(one.feature, pca=None, l2=False)) for one in features)


def fit_reductions(
    embedder: Embedder, features: Sequence[TappedFeature], path: Path, contract: InputContract
) -> dict[str, Fitted]:
    """Embed the windows in `path`, batch by batch, and fit the PCA of each feature on them. Raises `Refused`."""
    fits = {one.name: _Fit(one) for one in features if one.feature.pca is not None}
    for read in _read(path, contract):
        if len(read.windows):
            found = embedder.embed(read.windows).embeddings.features
            for name, fit in fits.items():
                fit.add(found[name])
    return {name: fit.finish(path) for name, fit in fits.items()}


class _Fit:
    """Collects one feature's vectors, and fits its PCA."""

    def __init__(self, one: TappedFeature) -> None:
        self._one = one
        self._moments: Moments | None = None
        self._some = np.zeros((0, one.layout.size), np.float32)

    def add(self, vectors: NDArray[np.float32]) -> None:
        if len(vectors):
            self._some = vectors if len(vectors) > len(self._some) else self._some
            moments = Moments.of(vectors)
            self._moments = moments if self._moments is None else self._moments.merge(moments)

    def finish(self, path: Path) -> Fitted:
        name, wanted = self._one.name, self._one.feature.pca or 0
        count = self._moments.count if self._moments else 0
        if self._moments is None or count < wanted:
            message = (
                f"the feature {name} keeps {wanted} components, and so many windows at least must be fitted on; found "
                f"{count} in {path} that fit the contract and can be embedded"
            )
            raise Refused(message)
        found = find_components(self._moments)
        if len(found.directions) < wanted:
            message = (
                f"the feature {name} keeps {wanted} components, but its vectors vary in {len(found.directions)} "
                f"directions only over the {counted(count, 'window')} in {path}; ask for fewer, or fit on other windows"
            )
            raise Refused(message)
        mean, directions = self._moments.mean, found.directions[:wanted]
        reduction = Reduction(
            mean=torch.from_numpy(mean.astype(np.float32)),
            components=torch.from_numpy(np.ascontiguousarray(directions, np.float32)),
        )
        self._check(reduction, (self._some.astype(np.float64) - mean) @ directions.T)
        return Fitted(reduction=reduction, explained=tuple(found.explained[:wanted].tolist()), windows=count)

    def _check(self, reduction: Reduction, expected: Matrix) -> None:
        """Refuse vectors whose mean is so large that float32 cannot represent their variation."""
        found = project(torch.from_numpy(self._some), reduction).numpy()
        apart, unit = float(np.abs(found - expected).max()), float(np.abs(expected).max())
        if not apart <= TOLERANCE * unit:
            message = (
                f"the PCA of the feature {self._one.name} cannot be applied in float32: it differs by {apart:.2g} "
                f"where the largest number is {unit:.2g}, since the vectors vary little around a large mean; choose "
                "another pooling or tap"
            )
            raise Refused(message)


def check_company(embedder: Embedder, path: Path, contract: InputContract) -> None:
    """Raise `Refused` if windows in `path` get another vector alone than in a batch.

    Sample windows do not show it: l2 magnifies differences of 1e-7 in vectors that the PCA made short, and such vectors
    are found among the windows on which it was fitted.
    """
    windows = next(read.windows for read in _read(path, contract) if len(read.windows))
    windows = windows.take(np.arange(min(len(windows), ALONE)))
    together = embedder.embed(windows)
    singles = [embedder.embed(windows.take(np.array([row]))).embeddings.features for row in together.rows.tolist()]
    for name, vectors in together.embeddings.features.items():
        alone = np.concatenate([one[name] for one in singles])
        apart = float((np.abs(alone - vectors) / np.maximum(1.0, np.abs(vectors).max())).max())
        if apart > COMPANY_TOLERANCE:
            message = (
                f"the feature {name}: a window in {path} is embedded otherwise alone than in a batch, by up to "
                f"{apart:.2g}; l2 magnifies differences in short vectors: leave it out, keep more components, or "
                "choose another tap"
            )
            raise Refused(message)


def _read(path: Path, contract: InputContract) -> Iterator[ArrowWindows]:
    """Yield the windows of each Parquet file, in an order that does not depend on the files' names."""
    for name in sorted(find_files(path).paths, key=_digest):
        try:
            with pq.ParquetFile(name, page_checksum_verification=True) as file:
                if (fault := schema_fault(file.schema_arrow, contract)) is not None:
                    message = f"{name} cannot hold windows for this model: {fault[1]}"
                    raise Refused(message)
                for batch in file.iter_batches(BATCH_ROWS, columns=window_schema(contract).names):
                    yield windows_from_arrow(batch, contract)
        except (pa.ArrowException, OSError) as error:
            message = f"{name} is no readable Parquet file: {error}"
            raise Refused(message) from error


def _digest(path: Path) -> bytes:
    """Return a digest by which files are ordered: sums in another order differ in the last bit, and so in the space."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise Refused(message) from error

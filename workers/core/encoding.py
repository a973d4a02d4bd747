"""Encode categories as integer codes.

In: windows and a `Preprocessing`. Out: arrays of codes, and a fault for each window with a category that was not in
training, if the encoder has no code for unknown ones. Knows no real number.
"""

from collections.abc import Iterator, Mapping
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from undertow.core.preprocessing import LabelEncoder, Preprocessing
from undertow.core.scalers import GroupScaler
from undertow.schemas.records import Fault
from undertow.schemas.windows import Values, WindowBatch

Use = tuple[str, str, str]
"""A column and its encoder: (part of the window, column, name of the encoder)."""
Codes = Mapping[Use, NDArray[np.int64]]
"""The int64 codes of each use, in the shape of the column."""

REFUSED = -1
PARTS = {"series": ("series",), "static": ("static",), "unknown": ("past",), "known": ("past", "future")}
"""In which parts of a window a categorical is, by its role."""


def encode(windows: WindowBatch, preprocessing: Preprocessing) -> tuple[Codes, tuple[Fault, ...]]:
    """Encode each column once; return the codes, and at most one fault for each window."""
    encoders = {encoder.name: encoder for encoder in preprocessing.encoders}
    codes: dict[Use, NDArray[np.int64]] = {}
    faults: dict[int, Fault] = {}
    for use in dict.fromkeys(uses(preprocessing)):
        part, name, encoder = use
        column: Values = getattr(windows, part)[name]
        found = codes[use] = _look_up(encoders[encoder], column)
        if encoders[encoder].unknown is None and (found == REFUSED).any():
            places = np.argwhere(found == REFUSED)[:, 0]
            rows = np.searchsorted(windows.starts, places, side="right") - 1 if part == "past" else places
            count = len(encoders[encoder].codes)
            for row, value in zip(rows.tolist(), column[found == REFUSED].tolist(), strict=True):
                detail = f"{part}.{name}: expected one of the {count} categories of training, found {value!r}"
                faults.setdefault(row, Fault(row=row, reason="category", detail=detail))
    return codes, tuple(faults[row] for row in sorted(faults))


def uses(preprocessing: Preprocessing) -> Iterator[Use]:
    """Yield every column to encode with its encoder; one may come several times."""
    for categorical in preprocessing.categoricals:
        for part in PARTS[categorical.role]:
            yield part, categorical.name, categorical.encoder
    scalers = [
        *(real.scaler for real in preprocessing.reals),
        *(target.scaler for target in preprocessing.targets),
        *(target.reported for target in preprocessing.targets),
    ]
    tables = [table for scaler in scalers if isinstance(scaler, GroupScaler) for table in scaler.tables]
    for column, encoder in [*(pair for table in tables for pair in table.ids), *filter(None, preprocessing.groups)]:
        yield "series", column, encoder


def _look_up(encoder: LabelEncoder, column: Values) -> NDArray[np.int64]:
    otherwise = REFUSED if encoder.unknown is None else encoder.unknown
    labels = column.ravel().tolist()
    return np.fromiter(map(encoder.codes.get, labels, repeat(otherwise)), np.int64, len(labels)).reshape(column.shape)

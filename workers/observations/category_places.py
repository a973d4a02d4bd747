"""Categories as numbers: the place of each among its column's names, NaN for none.

In: a column of texts. Out: places and names; or texts again. Knows no rule of windows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from undertow.schemas.arrow_columns import Mask
from undertow.schemas.contract import Column
from undertow.schemas.windows import Values

Numbers = NDArray[np.float64]
"""Numbers, or places of categories; NaN for a hole."""


def encode_categories(array: Any, column: Column) -> tuple[Numbers, Values, Mask]:
    """Return (n,) places, (k,) the names in order of their code points, and (n,) which the model takes, or are null."""
    encoded = array.cast(pa.string()).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    places = np.empty(len(texts) + 1)
    places[order] = np.arange(len(texts))
    places[-1] = np.nan
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    known = np.ones(len(texts) + 1, np.bool_)
    if not column.accepts_unknown:
        trained = frozenset(column.categories or ())
        known[:-1] = [text in trained for text in texts]
    return places[codes], texts_array([texts[place] for place in order]), known[codes]


def category_texts(names: Values, places: Numbers) -> Values:
    """Return the texts at these places, in the same shape; None for NaN."""
    chosen: Values = texts_array([*names.tolist(), None])[np.where(np.isnan(places), -1.0, places).astype(np.int64)]
    return chosen


def texts_array(texts: Sequence[str | None]) -> Values:
    """Return texts as an array of objects."""
    array = np.empty(len(texts), object)
    array[:] = texts
    return array

"""Let go of the names of categories that nothing refers to any more: a stream may see new ones for ever.

In: names by number, what is held with these numbers. Out: nothing; both are changed. Knows no records.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from undertow.observations.category_places import Numbers
from undertow.observations.held_names import HeldNames
from undertow.observations.held_series import HeldSeries
from undertow.observations.open_rows import OpenRows, value_name
from undertow.schemas.arrow_columns import Mask, Rows

Act = Callable[[Numbers], Numbers | None]


def keep_names_in_use(
    names: Mapping[str, HeldNames], held: HeldSeries, open_rows: OpenRows, statics: Sequence[str]
) -> None:
    """Let go of names that neither a cell, nor an open row, nor a static has, and number the others anew.

    `statics` are those that observations state, in order. Looks at all that is held of these columns, in file or not.
    """
    for name, column in names.items():
        used = np.zeros(len(column) + 1, np.bool_)

        def see(numbers: Numbers, used: Mask = used) -> None:
            used[_places(numbers)] = True

        _of_all(name, held, open_rows, statics, see)
        if used[:-1].all():
            continue
        changed = column.keep(np.flatnonzero(used[:-1]))

        def renumber(numbers: Numbers, changed: Numbers = changed) -> Numbers:
            return changed[_places(numbers)]

        _of_all(name, held, open_rows, statics, renumber)


def _of_all(name: str, held: HeldSeries, open_rows: OpenRows, statics: Sequence[str], act: Act) -> None:
    if name in held.columns:
        held.change(name, act)
    if name in statics:
        held.change_said(statics.index(name), act)
    open_rows.change(value_name(name), act)


def _places(numbers: Numbers) -> Rows:
    """Return numbers as places of a table, the last of which is that of NaN."""
    return np.where(np.isnan(numbers), -1.0, numbers).astype(np.int64)

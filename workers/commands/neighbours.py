"""`undertow neighbours`: the series that are like a series now.

In: settings, a name, ids as text. Out: `Neighbours`, and lines and a table of them. Knows nothing of models.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from undertow.core.errors import WrongUsage
from undertow.core.readable import readable
from undertow.reader.neighbours import Neighbours
from undertow.reader.reader import Reader
from undertow.schemas.wording import counted
from undertow.settings.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourQuery:
    """What is looked for, as it was typed."""

    keys: Sequence[str]
    """`id=value` for each id of the series."""
    k: int
    feature: str
    metric: str
    where: Sequence[str]
    """`id=value`; of one id any of the values will do."""
    max_age_s: int | None


def run(settings: Settings, name: str, wanted: NeighbourQuery) -> Neighbours:
    """Search what is online. Raises as `Reader.neighbours`, and `WrongUsage` for ids that are no ids of the name."""
    # For one search a graph would take a thousand times as long as comparing all.
    with Reader(settings.feast.repo / settings.feast.config, name=name, exact_up_to=sys.maxsize) as reader:
        types = reader.id_types()
        query = {one: values[0] for one, values in _typed(wanted.keys, types).items()}
        if len(query) < len(wanted.keys):
            message = f"expected each id once, found {readable(' '.join(wanted.keys))}"
            raise WrongUsage(message)
        if missing := [one for one in types if one not in query]:
            message = f"expected a value of each id, {', '.join(types)}; found no {', '.join(missing)}"
            raise WrongUsage(message)
        return reader.neighbours(
            query,
            wanted.k,
            feature=wanted.feature,
            metric=wanted.metric,
            where=_typed(wanted.where, types),
            max_age=None if wanted.max_age_s is None else timedelta(seconds=wanted.max_age_s),
        )


def summary(found: Neighbours) -> str:
    """Return among how many it was looked, in a sentence."""
    return f"{counted(len(found), 'neighbour')} among {found.indexed:,} series of {found.view}"


def table_for(found: Neighbours) -> Table:
    """Return them for a terminal, nearest first."""
    table = Table()
    for name in found.series:
        table.add_column(readable(name), overflow="fold")
    table.add_column("distance", justify="right")
    table.add_column("event_timestamp")
    for ids, distance, at in _rows(found):
        table.add_row(*(Text(readable(str(value))) for value in ids.values()), f"{distance:.6f}", at)
    return table


def json_lines(found: Neighbours) -> Iterator[str]:
    """Return one JSON object for each, nearest first."""
    for ids, distance, at in _rows(found):
        yield json.dumps({**ids, "distance": distance, "event_timestamp": at, "space": found.space})


def _rows(found: Neighbours) -> Iterator[tuple[dict[str, Any], float, str]]:
    columns = zip(*found.series.values(), strict=True)
    times = np.datetime_as_string(found.event_time, unit="us")
    for ids, distance, at in zip(columns, found.distance.tolist(), times.tolist(), strict=True):
        yield dict(zip(found.series, ids, strict=True)), distance, f"{at}Z"


def _typed(given: Sequence[str], types: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the values of each id, as they are written in keys."""
    found: dict[str, list[Any]] = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator or name not in types:
            message = f"ids are written as id=value, with the ids {', '.join(types)}; found {readable(one)}"
            raise WrongUsage(message)
        found.setdefault(name, []).append(_integer(name, value) if types[name] == "integer" else value)
    return found


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f"{name}: expected a whole number, found {readable(text)}"
        raise WrongUsage(message) from None

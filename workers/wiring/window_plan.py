"""How windows of a model are made of observations, as the section `windows` of the settings says.

In: settings, an input contract. Out: a plan, and side tables. Knows no broker: commands have it without Kafka's client.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.core.errors import Refused
from undertow.observations.known_rows import empty_known, known_names
from undertow.observations.plan import WindowPlan, make_plan
from undertow.schemas.contract import InputContract
from undertow.settings.windows_section import WindowsSettings


def known_from_topic(windows: WindowsSettings, contract: InputContract) -> list[str]:
    """Return the columns that come from the topic: all that is known ahead and in no calendar."""
    return known_names(windows.calendar, contract) if windows.known_topic else []


def plan_windows(windows: WindowsSettings, contract: InputContract) -> WindowPlan:
    """Return how windows of a model are made. Raises `Refused` where they cannot be."""
    return plan_with_tables(windows, contract)[0]


def plan_with_tables(
    windows: WindowsSettings, contract: InputContract
) -> tuple[WindowPlan, pa.Table | None, pa.Table | None]:
    """Return the plan, and the tables of what is known ahead, and of statics. Raises `Refused`.

    The former is empty where it comes from a topic, which is not read here.
    """
    known, static = (None if path is None else _read(path) for path in (windows.known, windows.static))
    names = [[] if table is None else table.column_names for table in (known, static)]
    from_topic = known_from_topic(windows, contract)
    plan = make_plan(windows.spec(), contract, known=from_topic or names[0], static=names[1])
    return plan, empty_known(plan) if from_topic else known, static


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        message = f"{path} (windows.known or windows.static) is no readable Parquet file: {error}"
        raise Refused(message) from error

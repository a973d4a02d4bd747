"""Windows of tables of observations, from Python.

In: tables, an artifact, how they become windows. Out: `Windows`. Knows no rule: these are in `undertow.observations`.
"""

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.api.embedding import ArtifactEmbedder
from undertow.artifact.format.manifest import read_manifest
from undertow.core.arrow_tables import arrow_table
from undertow.core.errors import Refused
from undertow.core.extras import require_extras
from undertow.observations.from_tables import make_windows
from undertow.observations.plan import make_plan
from undertow.observations.spec import WindowSpec
from undertow.observations.windowed import Windows
from undertow.schemas.contract import InputContract
from undertow.settings.settings import Settings
from undertow.settings.settings import load as load_settings
from undertow.telemetry.logs import say

log = logging.getLogger(__name__)

_EXPECTED = "a table (pandas, polars, pyarrow, DuckDB, or the path of a Parquet file)"


def windows(
    observations: Any,
    model: ArtifactEmbedder | InputContract | Path | str,
    spec: WindowSpec | Mapping[str, Any] | None = None,
    *,
    known: Any = None,
    static: Any = None,
) -> Windows:
    """Make windows of raw observations: irregular, late, in any order, one row each.

    Args:
        observations: A table with the ids, the time and the values of each observation: pandas, polars, pyarrow,
            DuckDB, or any object with the Arrow PyCapsule interface; or the path of a Parquet file. Other columns are
            ignored.
        model: The artifact's folder, or what `load` made of it: it says which columns windows have, and how long they
            are.
        spec: How observations become windows, as `WindowSpec` or a dictionary of the same; by default the section
            `windows` of `undertow.toml`, which may name the tables below as well, or a topic that is then read once.
        known: A table of what is known ahead, such as a forecast of the weather: a row for each grid point, with the
            time, and with the ids if it differs by series. `observations` itself may be given, if it reaches ahead.
        static: A table with a row for each series: its ids, and static columns. Those that it lacks are columns of the
            observations.

    Returns:
        The windows. They are made when they are needed, and their values do not depend on the order of the rows. Rows
        that are no observations are its `faults`, and change nothing else.

    Raises:
        Refused: The specification does not fit the model, or a column is missing or of a wrong type.

    Examples:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({
        ...     "site": "north",
        ...     "event_timestamp": pd.date_range("2026-01-01", periods=9, freq="10min", tz="UTC"),
        ...     "flow": [0.1, 0.2, 0.3, None, 0.1, 0.0, 0.2, 0.3, float("inf")],
        ...     "head": 1.0,
        ... })
        >>> spec = undertow.WindowSpec(every="10m", fill={"flow": "forward"}, max_gap="20m")
        >>> with undertow.load("artifact", code=["net"]) as embedder:
        ...     made = undertow.windows(rows, embedder, spec)
        ...     result = embedder.embed(made)
        >>> len(made), result["hidden"].shape
        (3, (3, 5))
        >>> next(made.batches()).past["flow"][:6].tolist()
        [0.1, 0.2, 0.3, 0.3, 0.1, 0.0]
        >>> [(fault.row, fault.reason) for fault in made.faults]
        [(8, 'number')]
    """
    if spec is None:
        settings = load_settings()
        said, given = settings.windows.spec(), settings.windows
        known = _known(settings, _contract(model)) if known is None else known
        static = given.static if static is None else static
    else:
        said = _spec(spec)
    contract = _contract(model)
    columns = {column.name for column in (*contract.past, *contract.future, *contract.static)}
    wanted = {one.name for one in contract.series} | columns | {said.time, said.created}
    ahead, statics = _table(known, wanted), _table(static, wanted)
    plan = make_plan(said, contract, known=_names(ahead), static=_names(statics))
    return make_windows(plan, arrow_table(_read(observations), wanted, _EXPECTED, keep_names=True), ahead, statics)


def _known(settings: Settings, contract: InputContract) -> Any:
    """Return the table that the settings name; of a topic what it says now."""
    if not settings.windows.known_topic:
        return settings.windows.known
    require_extras("reading windows.known_topic", "kafka")
    from undertow.wiring.known_topic import read_known_topic  # noqa: PLC0415  # an extra

    now = read_known_topic(settings, contract)
    if now is not None and now.passed_over:
        say(log, logging.WARNING, "known-bad", now.told, count=now.passed_over)
    return None if now is None else now.table


def _spec(given: object) -> WindowSpec:
    if isinstance(given, WindowSpec):
        return given
    if isinstance(given, Mapping):
        try:
            return WindowSpec(**{str(key): value for key, value in given.items()})
        except TypeError:  # every other key has a default
            message = "expected every among the keys of undertow.WindowSpec, such as {'every': '1h'}, found none"
            raise Refused(message) from None
    message = f"expected a WindowSpec, or a dictionary of its keys, found {type(given).__name__}"
    raise Refused(message)


def _contract(model: object) -> InputContract:
    if isinstance(model, InputContract):
        return model
    if isinstance(model, ArtifactEmbedder):
        return model.contract
    if isinstance(model, str | os.PathLike):
        return read_manifest(Path(model)).contract if "://" not in str(model) else read_manifest(str(model)).contract
    message = f"expected the folder of an artifact, or what undertow.load returns, found {type(model).__name__}"
    raise Refused(message)


def _table(frame: Any, wanted: set[str]) -> pa.Table | None:
    return None if frame is None else arrow_table(_read(frame), wanted, _EXPECTED, keep_names=True)


def _names(table: pa.Table | None) -> Collection[str]:
    return () if table is None else table.column_names


def _read(frame: Any) -> Any:
    """Read a Parquet file, where a path is given."""
    if not isinstance(frame, str | os.PathLike):
        return frame
    try:
        return pq.read_table(frame)
    except (pa.ArrowException, OSError) as error:
        message = f"{frame} is no readable Parquet file: {error}"
        raise Refused(message) from error

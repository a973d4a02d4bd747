"""The observations of a made-up window give that window, in whatever form they are written."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertow.commands import describe
from undertow.commands.observed_samples import encode_observations, make_known, make_observations
from undertow.commands.samples import FORMS, Form
from undertow.observations.from_tables import make_windows
from undertow.observations.plan import make_plan
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.records import Partition, Record
from undertow.schemas.windows import WindowBatch
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings
from undertow.wiring.observed_source import open_alone
from undertow.wiring.window_plan import plan_windows

HOUR = Column(name="hour", categories=tuple(map(str, range(24))))
CONTRACT = InputContract(
    series=(IdColumn(name="site", type="string"), IdColumn(name="unit", type="integer")),
    past=(Column(name="flow"), Column(name="mode", categories=("x", "y")), HOUR),
    future=(HOUR,),
    static=(Column(name="size"),),
    horizon=2,
    min_length=3,
    max_length=6,
    allows_gaps=False,
)
KEYS: dict[str, Any] = {"calendar": {"hour": "hour"}, "created": "made"}
WINDOW = WindowBatch(
    series={"site": np.array(["a"], object), "unit": np.array([7])},
    end_us=np.array([946_684_800_000_000]),  # 2000-01-01
    lengths=np.array([3]),
    past={
        "flow": np.array([0.5, -1.0, 2.0]),
        "mode": np.array(["x", "y", "x"], object),
        "hour": np.array(["21", "22", "23"], object),
    },
    future={"hour": np.array([["1", "2"]], object)},
    static={"size": np.array([3.0])},
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "keys", [{"every": "1h"}, {"every": "7m", "stride": 3, "align": "until", "origin": "2026-01-01T00:00Z"}]
)
def test_they_are_taken_and_give_one_window_that_ends_where_windows_end(form: Form, keys: dict[str, Any]) -> None:
    plan = make_plan(WindowSpec(**KEYS, **keys), CONTRACT)
    content = encode_observations(form, make_observations(WINDOW, plan), plan)
    if form == "parquet":
        made = make_windows(plan, pq.read_table(pa.BufferReader(content)), None, None)
        found, refused = made.take(np.arange(len(made))), made.faults
    else:
        settings = Settings(
            kafka=KafkaSettings(format=form, content="observations"), windows=WindowsSettings(**KEYS, **keys)
        )
        record = Record(partition=Partition("t", 0), offset=0, appended_us=0, value=content)
        decoded = open_alone(settings, CONTRACT)([record])
        found, refused = decoded.windows, decoded.rejects
    assert refused == ()
    assert found.lengths.tolist() == [3]
    assert [found.past[name].tolist() for name in ("flow", "mode")] == [[0.5, -1.0, 2.0], ["x", "y", "x"]]
    assert (found.series["site"].tolist(), found.series["unit"].tolist()) == (["a"], [7])
    assert found.static["size"].tolist() == [3.0]
    assert 0 <= 946_684_800_000_000 - found.end_us[0] < plan.grid.every_us * plan.spec.stride


def test_what_is_written_follows_from_what_records_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "read_manifest", lambda _path: SimpleNamespace(contract=CONTRACT))
    monkeypatch.setattr(describe, "make_window", lambda _manifest: WINDOW)
    windows, written = WindowsSettings(**KEYS, every="1h"), list[bytes]()
    describe.sample(Path("a"), "json", written.append, Settings(windows=windows))
    assert orjson.loads(written.pop())["series"] == {"site": "a", "unit": 7}
    of_rows = Settings(windows=windows, kafka=KafkaSettings(content="observations"))
    describe.sample(Path("a"), "json", written.append, of_rows)
    assert [row["flow"] for row in orjson.loads(written.pop())] == [0.5, -1.0, 2.0]


PRICE = Column(name="price")


@pytest.mark.parametrize("past", [(), (PRICE,)])
def test_what_is_known_ahead_goes_with_the_observations_and_a_row_of_it_is_shown(
    past: tuple[Column, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = replace(CONTRACT, past=(*CONTRACT.past, *past), future=(HOUR, PRICE))
    price = np.array([[4.0, 5.0]])
    window = replace(
        WINDOW, past=WINDOW.past | {one.name: np.array([1.0, 2.0, 3.0]) for one in past}, future={"price": price}
    )
    windows = WindowsSettings(**KEYS, every="1h", known_topic="ahead")
    plan = plan_windows(windows, contract)
    made = make_windows(plan, make_observations(window, plan), make_known(window, plan), None)
    assert [made.take(np.arange(len(made))).future["price"].tolist(), made.known_faults] == [price.tolist(), ()]
    monkeypatch.setattr(describe, "make_window", lambda _manifest: window)
    rows = describe._rows(cast("Any", SimpleNamespace(contract=contract)), Settings(windows=windows), [])
    assert rows.known == {
        "event_timestamp": "2000-01-01T02:00:00.000000Z",
        "made": 946_692_000_000_000,
        "price": 5.0,
    }
    assert rows.known_topic == "ahead"

"""What a person is told of a table, a key or a setting that cannot be meant, and what to do about it."""

import dataclasses
import inspect

import pandas as pd
import pyarrow as pa
import pytest

import undertow
from tests.observations.conftest import TIME, contract_of
from tests.observations.test_frames import CONTRACT, SPEC, frame
from undertow.core.errors import Refused
from undertow.observations.faults import MEND_OFF

NOON_US = 1_767_268_800_000_000  # 2026-01-01T12:00Z


def test_where_there_is_no_window_the_refused_rows_are_told_with_one_of_the_most_frequent_kind():
    times = [NOON_US + 3_600_000_000 * hour + 7_000_000 for hour in range(4)]
    table = pa.table({"site": ["a"] * 4, "event_timestamp": times, "flow": [1.0, 2.0, 3.0, 4.0]})
    why = undertow.windows(table, contract_of("flow"), {"every": "1h"}).why_none
    assert why == (
        "4 of 4 rows are no observations (off-grid 4), for example row 0: event_timestamp: expected a time within "
        f"windows.tolerance (0) of a grid point, found 2026-01-01T12:00:07.000000Z, 7s off: {MEND_OFF}"
    )
    table = table.set_column(1, "event_timestamp", pa.array([*times[:3], NOON_US]))
    why = undertow.windows(table, contract_of("flow"), {"every": "1h", "min_length": 2}).why_none
    assert why.startswith("3 of 4 rows are no observations (off-grid 3), for example row 0: ")
    assert why.endswith("; longest run: 1 step of 1h, a window needs 2")


def test_times_in_faults_are_told_in_utc_whatever_the_zone_of_the_table_or_the_settings():
    at = pd.Timestamp("2026-07-01T12:00:07")
    said = set()
    for time, spec in (
        (at.tz_localize("Europe/Berlin"), {}),
        (at.tz_localize("Europe/Berlin").tz_convert("UTC"), {}),
        (at, {"zone": "Europe/Berlin"}),
        (int(at.tz_localize("Europe/Berlin").value // 1_000), {}),
    ):
        table = pd.DataFrame({"site": ["a"], "event_timestamp": [time], "flow": [1.0]})
        (fault,) = undertow.windows(table, contract_of("flow"), {"every": "1h", **spec}).faults
        said.add(fault.detail.partition("found ")[2])
    assert said == {f"2026-07-01T10:00:07.000000Z, 7s off: {MEND_OFF}"}


def test_a_key_that_there_is_not_is_told_with_the_one_that_is_meant():
    meant = r"expected the keys of undertow\.WindowSpec, found evry: did you mean every\?"
    with pytest.raises(Refused, match=meant):
        undertow.WindowSpec(evry="1h")  # type: ignore[call-arg]
    with pytest.raises(Refused, match=meant):
        undertow.windows(frame(), CONTRACT, {"evry": "1h"})
    with pytest.raises(Refused, match=r"expected every among the keys of undertow\.WindowSpec"):
        undertow.windows(frame(), CONTRACT, {"fill": "forward"})
    assert inspect.signature(undertow.WindowSpec).parameters.keys() == SPEC.__dataclass_fields__.keys()


def test_a_column_that_is_missing_is_told_with_the_setting_that_says_where_else_it_may_be():
    without = frame().drop(columns=["size"])
    with pytest.raises(Refused, match=r"a column size, found none; .*one value for each series: windows\.static"):
        undertow.windows(without, CONTRACT, SPEC, known=frame())
    with pytest.raises(Refused, match=r"expected a column at, found none; .*windows\.time names the column"):
        undertow.windows(frame(), CONTRACT, dataclasses.replace(SPEC, time="at"), known=frame())


@pytest.mark.parametrize(("zone", "hint"), [("", "utc=True"), ("Europe/Berlin", "local times of Europe/Berlin")])
def test_who_gives_texts_for_times_is_told_how_to_read_them_in_the_zone_of_the_settings(zone, hint):
    with pytest.raises(Refused, match=hint) as caught:
        undertow.windows(
            frame().assign(**{TIME: "2026-01-01"}), CONTRACT, dataclasses.replace(SPEC, zone=zone), known=frame()
        )
    assert ("utc=True" in str(caught.value)) is not bool(zone)

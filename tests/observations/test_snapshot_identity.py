"""By which settings a snapshot of what is held would mean something else than reading the topic once more."""

from datetime import timedelta

import pytest

from tests.observations.conftest import contract_of
from tests.observations.streaming import plan_of
from undertow.observations.held_snapshot import fingerprint
from undertow.observations.spec import WindowSpec
from undertow.settings.sections import EventTimeSettings, KafkaSettings
from undertow.wiring.observed_source import what_is_taken

PLAN = plan_of(WindowSpec(every="1s"), contract_of("flow"))


@pytest.mark.parametrize(
    ("given", "is_another"),
    [
        ({"format": "arrow"}, True),
        ({"event_time": EventTimeSettings(max_ahead=timedelta(days=30))}, True),
        ({"max_record_bytes": 1 << 10}, True),
        ({"max_unpacked_bytes": 1 << 20}, True),
        ({"max_batch": 7, "group": "another", "max_delay_ms": 5}, False),
    ],
)
def test_what_decides_which_rows_are_taken_makes_another_snapshot_of_it(given, is_another):
    plain, other = (fingerprint(PLAN, taken=what_is_taken(KafkaSettings(**one))) for one in ({}, given))
    assert (plain != other) is is_another

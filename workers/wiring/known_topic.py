"""What is known ahead, from a topic (`windows.known_topic`): for a stream as it grows, for all else as it is now.

In: settings, an input contract. Out: what keeps a stream's windows up to date; or a table as of a file. Knows no rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from undertow.adapters.kafka_admin import find_topic
from undertow.adapters.kafka_known import KafkaKnown
from undertow.core.errors import Refused
from undertow.observations.known_rows import KnownRows, empty_known, known_form
from undertow.observations.plan import WindowPlan, make_plan
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.contract import InputContract
from undertow.schemas.wording import are, counted
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings
from undertow.stream.events import Event, KnownPassedOver, Listener
from undertow.stream.knowing import Knowing
from undertow.stream.retry import Retry
from undertow.wiring.row_formats import open_reader
from undertow.wiring.window_plan import known_from_topic

GIVE_UP_AFTER_S = 10.0
"""How long a broker may be busy when a command reads the topic. A stream waits for as long as it takes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownNow:
    """What a topic says at one time."""

    table: pa.Table
    """As of a file (`windows.known`): of each series and time the newest row."""
    passed_over: int
    """How many rows say nothing."""
    told: str
    """In words: how many rows there are, and how many were passed over."""

    def require_rows(self) -> None:
        """Raise `Refused` where there are none: no window can be made then."""
        if not self.table.num_rows:
            message = f"no window can be made: of what is known ahead there are {self.told}"
            raise Refused(message)


def require_known_topic(settings: Settings, contract: InputContract) -> None:
    """Raise `Refused` where columns come from a topic that does not exist."""
    topic = settings.windows.known_topic
    if known_from_topic(settings.windows, contract) and find_topic(settings.kafka, topic) is None:
        at = settings.kafka.bootstrap
        message = (
            f'expected the topic "{topic}" (windows.known_topic) at {at}, but there is none; who writes it makes it, '
            f"or kafka-topics.sh --bootstrap-server {at} --create --topic {topic}"
        )
        raise Refused(message)


def open_knowing(
    kafka: KafkaSettings, windows: WindowsSettings, series: StreamedSeries, tell: Listener, give_up: Callable[[], bool]
) -> Knowing | None:
    """Return what reads the topic and has `series` know of it; None where no column comes from one."""
    if not known_from_topic(windows, series.plan.contract):
        return None
    return _open(kafka, windows, series.plan, series.know, tell, give_up, keep_us=windows.known_keep_us)


def read_known_topic(settings: Settings, contract: InputContract) -> KnownNow | None:
    """Read the topic once to its end; None where no column comes from one. Raises `Refused`, `Unavailable`."""
    windows = settings.windows
    if not (columns := known_from_topic(windows, contract)):
        return None
    require_known_topic(settings, contract)
    # Statics do not matter here: whether each column of them is there is seen where windows are made.
    statics = [column.name for column in contract.static]
    plan = make_plan(windows.spec(), contract, known=columns, static=statics)
    passed_over: list[KnownPassedOver] = []

    def listen(event: Event) -> None:
        if isinstance(event, KnownPassedOver):
            passed_over.append(event)

    table = empty_known(plan)

    def know(newest: pa.Table) -> None:
        nonlocal table
        table = newest

    # Of history all is needed, however old.
    knowing = _open(settings.kafka, windows, plan, know, listen, lambda: False, keep_us=0)
    try:
        Retry(for_s=GIVE_UP_AFTER_S)(knowing.refresh)
    finally:
        knowing.close()
    # In an order that follows from the rows, so that the same ones are the same file.
    table = table.sort_by([(name, "ascending") for name in table.column_names])
    bad = sum(one.rows for one in passed_over)
    told = f"{counted(table.num_rows, 'row')} of {', '.join(columns)} in {windows.known_topic}"
    if bad:
        told += f"; {counted(bad, 'row')} {are(bad)} passed over, the last {passed_over[-1].example}"
    return KnownNow(table=table, passed_over=bad, told=told)


def _open(
    kafka: KafkaSettings,
    windows: WindowsSettings,
    plan: WindowPlan,
    know: Callable[[pa.Table], object],
    tell: Listener,
    give_up: Callable[[], bool],
    *,
    keep_us: int,
) -> Knowing:
    form = known_form(plan)
    optional = [*(one.name for one in form.ids), form.created]
    read = open_reader(kafka, form, [column.name for column in form.columns], optional=[*filter(None, optional)])
    rows = KnownRows(plan, read, keep_us=keep_us)
    topic = KafkaKnown(kafka, windows.known_topic)
    return Knowing(topic, rows, know, known_seconds=windows.known_seconds, tell=tell, give_up=give_up)

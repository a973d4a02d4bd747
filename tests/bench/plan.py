"""The cases of the benchmark: which module runs, with how much work, and in which table it stands.

In: nothing. Out: `CASES`. Knows not how they are run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from model import BATCH

ARROW, COMPILED = {"format": "arrow"}, {"is_compiled": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of a table: a module in `cases/`, and how much work it gets."""

    name: str
    label: str
    count: int
    """Windows of one run."""
    quick: int
    module: str = ""
    """In `cases/`; empty where it is called like the case."""
    group: str = "table"
    """The table it stands in: `table`, `scaling`, `latency` or `series`."""
    store: str | None = None
    """Where its rows are: `ours`, `by_hand`, or nowhere that anyone compares."""
    by_default: bool = True
    """Whether it runs where no cases are named: not what takes long, or more cores than most machines have."""
    hidden: int = 64
    """Hidden size of its model."""
    given: Mapping[str, object] = field(default_factory=dict)
    """What of `Given` is its own."""

    @property
    def runs(self) -> str:
        """The module."""
        return self.module or self.name

    @property
    def writes_log(self) -> bool:
        """Whether it is the product, from end to end."""
        return self.store == "ours" or self.group != "table"

    @property
    def reads_topic(self) -> bool:
        """Whether it reads a topic that is filled beforehand; a fleet fills one of its own."""
        return self.store == "by_hand" or self.runs == "ours"


MANY, FEW = 160 * BATCH, 32 * BATCH
HEAVY = 448  # one thread takes about a millisecond for a window

CASES = (
    Case(name="full_forward", label="model alone: the whole forward", count=40 * BATCH, quick=8 * BATCH),
    Case(name="stopped_forward", label="model alone: stopped at the tap", count=80 * BATCH, quick=8 * BATCH),
    Case(name="own_forward", label="Undertow's forward alone", count=80 * BATCH, quick=8 * BATCH),
    Case(
        name="own_forward_compiled",
        label="the same, compiled",
        module="own_forward",
        count=80 * BATCH,
        quick=8 * BATCH,
        given=COMPILED,
    ),
    Case(name="ours", label="Undertow, 1 replica, JSON", count=MANY, quick=FEW, store="ours"),
    Case(
        name="ours_compiled",
        label="the same, compiled",
        module="ours",
        count=MANY,
        quick=FEW,
        store="ours",
        given=COMPILED,
    ),
    Case(
        name="ours_arrow",
        label="Undertow, 1 replica, Arrow",
        module="ours",
        count=MANY,
        quick=FEW,
        store="ours",
        given=ARROW,
    ),
    Case(
        name="ours_arrow_compiled",
        label="the same, compiled",
        module="ours",
        count=MANY,
        quick=FEW,
        store="ours",
        given=ARROW | COMPILED,
    ),
    Case(
        name="two_replicas",
        label="Undertow, fleet of 2 replicas, JSON",
        module="replicas",
        count=MANY,
        quick=FEW,
        store="ours",
    ),
    Case(
        name="two_replicas_arrow_compiled",
        label="the same, Arrow, compiled",
        module="replicas",
        count=MANY,
        quick=FEW,
        store="ours",
        given=ARROW | COMPILED,
    ),
    Case(name="seed_way", label="one window at a time, hook, push", count=60, quick=20, store="by_hand"),
    Case(name="hand_batched", label="batches of 256 by hand, push", count=16 * BATCH, quick=4 * BATCH, store="by_hand"),
    Case(name="quix", label="Quix Streams, batches of 256, push", count=16 * BATCH, quick=4 * BATCH, store="by_hand"),
    Case(
        name="partitions_8",
        label="1 replica, 8 partitions",
        module="ours",
        group="scaling",
        count=MANY,
        quick=FEW,
        given={"partitions": 8},
    ),
    Case(
        name="partitions_64",
        label="1 replica, 64 partitions",
        module="ours",
        group="scaling",
        count=MANY,
        quick=FEW,
        given={"partitions": 64},
    ),
    Case(
        name="heavy_1",
        label="1 replica, a heavy model",
        module="replicas",
        group="scaling",
        count=16 * BATCH,
        quick=4 * BATCH,
        hidden=HEAVY,
        given={"replicas": 1},
    ),
    Case(
        name="heavy_2",
        label="2 replicas, a heavy model",
        module="replicas",
        group="scaling",
        count=16 * BATCH,
        quick=4 * BATCH,
        hidden=HEAVY,
    ),
    *(
        Case(
            name=f"heavy_{replicas}",
            label=f"{replicas} replicas, a heavy model",
            module="replicas",
            group="scaling",
            by_default=False,
            count=16 * BATCH * replicas,
            quick=4 * BATCH,
            hidden=HEAVY,
            given={"replicas": replicas, "partitions": 16},
        )
        for replicas in (4, 8)
    ),
    Case(
        name="latency_1", label="1 replica", module="latency", group="latency", count=0, quick=0, given={"replicas": 1}
    ),
    Case(name="latency_2", label="2 replicas", module="latency", group="latency", count=0, quick=0),
    Case(
        name="series",
        label="1 replica, 1,000,000 series",
        group="series",
        by_default=False,
        count=1_000_000,
        quick=102_400,
        hidden=8,
        given=ARROW,
    ),
)
BY_DEFAULT = tuple(case.name for case in CASES if case.by_default)

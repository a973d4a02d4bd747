"""Who reads what while some partitions are quarantined."""

import pytest

from undertow.fleet.placement import Placement
from undertow.schemas.records import Partition

PARTITIONS = frozenset(Partition("windows", index) for index in range(4))
SUSPECT = frozenset([Partition("windows", 0)])


def shares(ready, size, owners):
    placement = Placement(lambda: 0.0)
    return placement.shares(PARTITIONS, ready, owners, size=size, quarantined=SUSPECT)


def test_one_of_several_reads_the_suspects_and_nothing_else():
    given = shares(["a", "b", "c"], 3, {})
    assert SUSPECT in given.values()
    assert frozenset().union(*given.values()) == PARTITIONS


@pytest.mark.parametrize("ready", [[], ["a"], ["a", "b"]])
def test_a_fleet_that_drains_reads_nothing_more_suspects_or_not(ready):
    assert shares(ready, 0, dict.fromkeys(PARTITIONS, "a")) == dict.fromkeys(ready, frozenset())

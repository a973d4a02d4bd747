"""Readers beside a maintainer that vacuums: what they may get, and that it is seen when they get anything else."""

import pytest

from tests.chaos import folds
from tests.chaos.folds import VacuumBesideReader
from tests.chaos.history import open_snapshot
from tests.history.fold_world import BEGIN_US, DAY_US, GRACE_S, P0, P1, World
from undertow.adapters import offline_table
from undertow.history import maintain


class Beside(World):
    """A log that is written to and maintained whenever somebody waits; what else a chaos run's world is asked for."""

    readers_wrong = 0
    is_hasty = False

    @property
    def maintainer(self):
        return self

    def end(self):
        self.is_hasty = False

    def start_maintainer(self, *, is_hasty=False):
        self.is_hasty = is_hasty

    def log_space(self):
        return self.home

    def until(self, holds, what):
        for _ in range(20):
            if found := holds():
                return found
            assert self.is_hasty, what
            self.publish(P0, 2)
            self.publish(P1, 1)
            self.maintain()
            self.clock.advance(GRACE_S)
        raise AssertionError(what)


@pytest.fixture
def beside(tmp_path, memory_clock, monkeypatch):
    monkeypatch.setattr(maintain, "VACUUM_S", 0.0)
    monkeypatch.setattr(offline_table, "LEAST_FILES", 2)
    world = Beside(tmp_path, memory_clock)
    for _ in range(3):
        world.publish(P0, 2)
        world.publish(P1, 1)
        world.maintain()
    return world


def test_a_reader_has_what_it_listed_or_fails_and_the_product_s_begins_again(beside):
    VacuumBesideReader().break_it(beside)
    assert beside.readers_wrong == 0


def test_rows_that_a_reader_gets_twice_or_not_at_all_are_seen(beside, monkeypatch):
    right = folds.with_parts
    monkeypatch.setattr(folds, "with_parts", lambda home, read: 2 * right(home, read))
    VacuumBesideReader().break_it(beside)
    assert beside.readers_wrong == 1
    monkeypatch.setattr(folds, "with_parts", lambda home, read: right(home, read)[1:])
    VacuumBesideReader().break_it(beside)
    assert beside.readers_wrong == 2


def test_a_reader_that_leaves_out_files_that_are_gone_is_seen(beside, monkeypatch):
    right = folds._places
    monkeypatch.setattr(folds, "_places", lambda files: right(path for path in files if path.exists()))
    VacuumBesideReader().break_it(beside)
    assert beside.readers_wrong == 2  # who had only listed its files, and the product's, which then hears of no error


def test_of_days_that_expire_a_reader_has_what_it_listed_or_fails(beside):
    beside.step_us = DAY_US
    for _ in range(4):
        beside.publish(P0, 2)
    beside.maintain()
    held, expected = folds._hold(beside.home)
    beside.clock.advance(BEGIN_US / 1e6 + 9 * 86_400 - beside.clock())
    assert beside.maintain(keep_days=2).expired > 0
    with held:
        assert held.places() == expected
    with pytest.raises(FileNotFoundError):
        folds._places(held.snapshot.files)
    left = folds._places(open_snapshot(beside.home).files)
    assert {*left} < {*expected}
    assert len({*left}) == len(left)

"""Owners, maintainers that are killed or stand still at any step, and readers with old listings, in any order."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.history.fold_world import GRACE_S, JOB, P0, P1, VIEW, World, places_in, upto
from undertow.adapters import offline_fold, offline_footers, offline_jobs, offline_table
from undertow.adapters.offline_batches import folded_chunks
from undertow.adapters.offline_history import whole_parts
from undertow.stream.failpoints import FOLD_POINTS

MODULES: tuple[Any, ...] = (offline_fold, offline_footers, offline_jobs, offline_table)


class Killed(Exception):  # noqa: N818
    """The maintainer is no more."""


class Clock:
    now = 1e9

    def __call__(self):
        return self.now


class Walk(RuleBasedStateMachine):
    """Each row is read once at any moment, and by whoever began to read within the grace time."""

    @initialize(is_beaten=st.booleans())
    def begin(self, is_beaten):
        self.folder, self.clock = tempfile.TemporaryDirectory(prefix="fold-"), Clock()
        self.world = World(Path(self.folder.name), self.clock)
        self.ends = {P0: 0, P1: 0}
        self.chunks = {}
        self.listing, self.listed_at = None, 0.0
        self.stale = None
        self.before = offline_table.LEAST_FILES
        offline_table.LEAST_FILES = 2
        for partition in (P0, P0, P0, P0, P1, P1):  # several transactions, from the first maintainer on
            self.publish(partition, 1, is_new=False)
        if is_beaten:  # what only a maintainer with a newer version than its plan's must notice by itself
            self.maintain("after_fold_commit", 1, is_killed=False)

    def teardown(self):
        if hasattr(self, "folder"):
            offline_table.LEAST_FILES = self.before
            self.folder.cleanup()

    @rule(partition=st.sampled_from([P0, P1]), count=st.integers(1, 3), is_new=st.booleans())
    def publish(self, partition, count, is_new):
        if is_new:
            self.world.log = self.world.owner()
        self.world.publish(partition, count)
        self.ends[partition] += count

    @rule(count=st.integers(1, 3), job=st.sampled_from(["past", "other"]))
    def backfill(self, count, job):
        first = max((after for _, after in self.chunks.values()), default=0)
        self.world.backfill(first, first + count, job=job)
        self.chunks[job, f"{first:032x}"] = (first, first + count)

    @rule(data=st.data())
    def an_actor_presumed_dead_publishes_its_chunk_again(self, data):
        if self.chunks:
            (job, _), (first, after) = data.draw(st.sampled_from(sorted(self.chunks.items())))
            self.world.backfill(first, after, job=job)

    @rule(point=st.sampled_from([None, *FOLD_POINTS]), count=st.integers(1, 2), is_killed=st.booleans())
    def maintain(self, point, count, is_killed):
        """A maintainer is killed at a point, or another does all its work there; readers look at every one."""
        if self.listing is None:
            self.list_to_read_later()
        left = count

        def hit(at):
            nonlocal left
            self.every_row_is_read_once()
            left -= at == point
            if at != point or left != 0:
                return
            if is_killed:
                raise Killed
            self.world.maintain()

        kept = offline_table.hit_failpoint
        for module in MODULES:
            module.hit_failpoint = hit
        try:
            assert self.world.maintain(batch_bytes=5_000).faults == ()
        except Killed:
            pass
        finally:
            for module in MODULES:
                module.hit_failpoint = kept

    @rule()
    def stand_still_before_folding(self):
        """A maintainer has listed the chains and opened the table, and does nothing yet."""
        self.stale = (self.world.chains().look(), self.world.jobs().look(), self.world.table().snapshot())

    @rule()
    def go_on_folding(self):
        if self.stale is None:
            return
        found, found_jobs, version = self.stale
        self.stale = None

        class OldChains(offline_fold.FileChains):
            looked = False

            def look(self):
                first, self.looked = not self.looked, True
                return found if first else super().look()

        class OldJobs(offline_jobs.FileJobs):
            looked = False

            def look(self):
                first, self.looked = not self.looked, True
                return found_jobs if first else super().look()

        class OldTable(offline_table.DeltaHistory):
            def snapshot(self):
                return version

        home = self.world.home
        jobs = OldJobs(home, VIEW, quiet_s=0)
        self.world.maintain(chains=OldChains(home, VIEW), table=OldTable(home, VIEW), jobs=jobs)

    @rule(seconds=st.sampled_from([1.0, GRACE_S / 2, GRACE_S]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule()
    def list_to_read_later(self):
        self.listing = (whole_parts(self.world.home), self.expected())
        self.listed_at = self.clock.now

    def expected(self):
        backfilled = [(JOB, number) for first, after in self.chunks.values() for number in range(first, after)]
        return upto(self.ends[P0], self.ends[P1]) + sorted(backfilled)

    @invariant()
    def a_job_that_is_run_again_knows_all_that_it_has_done(self):
        if hasattr(self, "world"):
            jobs = {job for job, _ in self.chunks}
            known = {
                job: {*self.world.chunks(job), *folded_chunks(self.world.home / "@backfill" / job)} for job in jobs
            }
            assert all(name in known[job] for job, name in self.chunks)

    @invariant()
    def every_row_is_read_once(self):
        if not hasattr(self, "world"):
            return
        assert self.world.places() == self.expected()
        if self.listing and self.clock.now < self.listed_at + GRACE_S:
            files, expected = self.listing
            assert places_in(files) == expected
        else:
            self.listing = None


TestWalk = Walk.TestCase
if settings.get_current_profile_name() != "long":
    TestWalk.settings = settings(max_examples=6, stateful_step_count=8, deadline=None)

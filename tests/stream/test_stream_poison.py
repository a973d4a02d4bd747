"""Records that end who takes them: a real controller over real streams, whose processes die as a test says."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stream.dying import CRASHING, DEADLY, ENDLESS, ONE, TWO, ZERO, Story, chain_end, check, fill_with


@pytest.fixture
def fill(world):
    return lambda count, bad: fill_with(world, count, bad)


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("flow", [DEADLY, ENDLESS, CRASHING])
def test_a_record_that_ends_each_replica_is_found_and_refused_and_all_others_are_embedded(world, fill, flow, replicas):
    bad = {437: flow}
    fill(800, bad)
    story = Story(world, replicas)
    story.read_up()
    check(world, 800, bad)
    assert story.processes.deaths <= 7  # one that closes may append first: then the next ends elsewhere than it did
    assert story.controller.status().counts.rejects == {}  # counted by streams, which these statuses leave out


@pytest.mark.parametrize("replicas", [1, 2])
def test_of_two_artifacts_one_whose_model_a_record_ends_leaves_the_other_whole_and_holds_it_up_for_no_longer(
    world, new_world, fill, replicas
):
    bad = {437: DEADLY, 440: ENDLESS}
    fill(500, bad)
    other = new_world()
    other.broker = world.broker.of_another_group()
    Story(other, replicas, "b").read_up()  # it is read up when the other artifact is added
    story = Story(world, replicas, b=other)
    story.read_up(400)
    check(world, 500, bad)
    assert sorted(other.offline_offsets(0)) == list(range(500))
    assert other.dead_letters.rejects == []


def test_others_are_read_on_while_the_record_is_looked_for(world, fill):
    fill(300, {3: DEADLY})
    story = Story(world)
    while not story.controller.status().suspects:
        story.tick()
    while (chain_end(world, ONE), chain_end(world, TWO)) != (300, 300):
        story.tick()
    assert [line for line in story.controller.status().suspects if line.startswith("windows-0")]
    assert not world.dead_letters.rejects


def test_a_controller_that_is_new_goes_on_where_the_one_before_was(world, fill):
    bad = {40: DEADLY}
    fill(60, bad)
    story = Story(world)
    while not story.controller.status().suspects:
        story.tick()
    while not any(one.quarantine.steps for one in story.controller.status().replicas):
        story.tick()
    story.start_controller()
    story.tick()
    assert story.controller.status().suspects
    story.read_up()
    check(world, 60, bad)


def test_where_every_record_ends_its_replica_the_fleet_says_that_it_is_not_the_records(world, fill):
    fill(50, dict.fromkeys(range(50), DEADLY))
    world.chains.parts.clear()
    story = Story(world, replicas=1)
    story.controller._partitions = frozenset([ZERO])
    while story.controller.status().state != "failed":
        story.tick()
    assert "it is the model or this machine, not the records" in story.controller.status().message
    assert len(world.dead_letters.rejects) <= 5


def test_a_replica_that_waits_for_a_store_is_no_evidence_when_it_dies(world, fill):
    fill(10, {})
    story = Story(world)
    for _ in range(4):
        story.tick()
    for _ in range(3):
        name = next(iter(story.processes.living))
        status = replace(story.processes.living[name].status(), blocked="redis is away")
        story.processes.living[name].status = lambda status=status: status
        story.tick()
        story.processes.kill(name)
        story.tick()
        story.tick()
    assert not story.controller.status().suspects


@settings(max_examples=12, deadline=None)
@given(
    bad=st.dictionaries(st.integers(0, 399), st.sampled_from([DEADLY, ENDLESS]), max_size=3),
    kills=st.lists(st.integers(1, 120), max_size=6, unique=True),
    restarts=st.lists(st.integers(1, 120), max_size=2),
    replicas=st.integers(1, 3),
)
def test_whatever_ends_replicas_besides_each_record_is_embedded_or_refused_once(
    new_world, bad, kills, restarts, replicas
):
    """Random kills may bring an innocent record among the dead letters, where it can be had: never is one lost."""
    world = new_world()
    fill_with(world, 400, bad)
    story = Story(world, replicas)
    for number in range(1, 121):
        if number in kills and story.processes.living:
            story.processes.kill(min(story.processes.living))
        if number in restarts:
            story.start_controller()
        story.tick()
    story.read_up()
    refused = {reject.record.offset for reject in world.dead_letters.rejects if reject.record.partition == ZERO}
    assert set(bad) <= refused
    assert sorted(world.offline_offsets(0)) == sorted(set(range(400)) - refused)
    assert len(refused) <= len(bad) + 1

"""`undertow run` as its user starts it: a process of its own, with a Ray of its own, ended by Ctrl-C or from beside."""

import contextlib
import re
import threading
from collections.abc import Iterator

import pytest

from tests.fleet.command import running
from undertow.adapters.kafka_admin import committed, end_offsets
from undertow.adapters.offline_chains import chains
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.schemas.records import Partition

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.timeout(400)]

PARTITIONS = 4


@contextlib.contextmanager
def arriving(place, windows) -> Iterator[None]:
    """Windows keep arriving, the same ones over and over, until this block ends."""
    enough = threading.Event()

    def produce():
        while not enough.is_set():
            place.produce(windows, partitions=PARTITIONS)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def assert_committed_is_what_is_offline(settings) -> tuple[int, int]:
    """Return how many records are committed, and how many there are."""
    partitions = [Partition(settings.kafka.topic, index) for index in range(PARTITIONS)]
    home = view_folder(settings.offline.path, read_manifest(settings.model.artifact).view())
    offsets = committed(settings.kafka, partitions)
    assert [offsets[partition] for partition in partitions] == [c.next for c in chains(home)]
    rows = read_rows(home).to_pandas()
    found = rows.groupby("origin_partition")["origin_offset"].apply(sorted)
    assert found.to_dict() == {partition.index: [*range(end)] for partition, end in offsets.items()}
    return sum(offsets.values()), sum(end_offsets(settings.kafka, partitions).values())


def assert_says(output, windows):
    """The last status as a table, and nothing that went wrong."""
    assert re.search(
        rf"^drained · 0 replicas · {windows:,} windows · lag [\d,]+ · rejects 0 · append to", output, re.MULTILINE
    ), output
    assert re.search(r"replica .* state .* pid .* partitions .* lag .* windows", output), output
    assert "Traceback" not in output
    assert "rror" not in output
    assert "logging.cc" not in output


def test_ctrl_c_while_windows_arrive_drains_the_fleet_and_leaves_nothing_running(make_place, make_windows, tmp_path):
    place = make_place(partitions=PARTITIONS)
    place.produce(make_windows(400, pumps=40), partitions=PARTITIONS)
    offline = place.settings.offline.path

    def parts():
        return len([*offline.glob(f"*/{place.settings.kafka.topic}/*/*.parquet")])

    with running(place.settings, tmp_path / "here") as command:
        command.wait_until(lambda: parts() >= PARTITIONS)
        with arriving(place, make_windows(500, pumps=40)):
            command.wait_until(lambda: parts() >= 3 * PARTITIONS)
            command.press_ctrl_c()
            assert command.end() == 0, command.output()
        output = command.output()
    done, there = assert_committed_is_what_is_offline(place.settings)
    assert 400 < done < there
    assert_says(output, windows=done)


def test_another_terminal_of_this_user_alone_sees_the_fleet_changes_its_size_and_ends_it(
    make_place, make_windows, tmp_path
):
    place = make_place(partitions=PARTITIONS)
    place.produce(make_windows(2_000, pumps=40), partitions=PARTITIONS)
    home, home_of_a_stranger = tmp_path / "home", tmp_path / "home of a stranger"
    home.mkdir()
    home_of_a_stranger.mkdir()
    with running(place.settings, tmp_path / "here", "-s", "fleet.replicas=1", home=home) as command:
        command.wait_until(lambda: '"windows": 2000' in command.beside("status", "--json"))
        assert "running · 1 replica · 2,000 windows" in command.beside("status")
        fleet = place.settings.fleet.name
        view = read_manifest(place.settings.model.artifact).view().view
        serves = f"fleet '{fleet}', which serves {view}"
        assert command.beside("scale", "3") == f"{serves}: 3 replicas run\n"
        too_many = command.beside("scale", "100000")
        assert f"reads {PARTITIONS} partitions: expected at most as many replicas, found 100000" in too_many
        assert f"no fleet named '{fleet}' runs here" in command.beside("drain", home=home_of_a_stranger)
        of_another = ("-s", "offline.path=elsewhere", "-s", "kafka.topic=tides")
        assert f"fleet '{fleet}' is of another project: kafka.topic is " in command.beside("drain", *of_another)
        address = (home / ".cache" / "undertow" / "fleets" / fleet).read_text()
        assert command.listens_on() == {"127.0.0.1"}
        secret = [home / ".ray", home / ".ray" / "auth_token", home / ".cache" / "undertow"]
        assert [path.stat().st_mode & 0o077 for path in secret] == [0, 0, 0]
        stranger = command.beside("drain", f"--set=fleet.address={address}", home=home_of_a_stranger)
        assert "no Ray lets us in" in stranger
        assert "~/.ray/auth_token that of the user who started it" in stranger
        assert "Traceback" not in stranger
        (first, *_) = command.beside("scale", "1").splitlines()
        assert first == f"{serves}: 1 replica run"
        assert command.beside("drain") == f"fleet '{fleet}', which served {view}, drained: 2,000 windows, 0 rejects\n"
        assert command.end() == 0, command.output()
        output = command.output()
    assert assert_committed_is_what_is_offline(place.settings) == (2_000, 2_000)
    assert_says(output, windows=2_000)

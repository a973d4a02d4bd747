"""`undertow check --verify` on a log that is damaged in one place: one fault, which names it and what can be done."""

import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.history.fold_world import GRACE_S, JOB, P0, P1, VIEW, World, upto
from undertow.adapters import offline_verify
from undertow.adapters.offline_names import SEED
from undertow.adapters.offline_parts import encode_part, no_rows, read_part, read_rows
from undertow.adapters.offline_root import read_nonce, require_own
from undertow.adapters.offline_verify import verify
from undertow.cli.main import main
from undertow.core.errors import Refused

CHAIN = "windows/0"
LAST_OF_CHAIN = "if it is the last of its chain, its records are then read again"
STRAY = "move it out of the folder: undertow writes no file of this name there"
ALIEN = "is of another program: expected a file that undertow wrote"
NO_FILE = "is a folder, expected a file"
WITHOUT = "to go on without its rows, for ever, move it away and run: "


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two sound logs: of parts alone, and with a table beside parts."""
    folder = tmp_path_factory.mktemp("logs")
    for name in ("parts", "table"):
        now = [1e9]
        world = World(folder / name, lambda now=now: now[0])
        pq.write_table(pq.read_schema(pa.BufferReader(empty())).empty_table(), world.home / SEED)
        for _ in range(4):
            world.publish(P0, 2)
            world.publish(P1, 3)
        if name == "table":
            world.backfill(0, 2)
            world.maintain()
            now[0] += GRACE_S
            assert world.maintain().deleted == 7
            world.publish(P0, 2)
        chunk = world.home / "@backfill/job/0.parquet"
        chunk.parent.mkdir(parents=True)
        chunk.write_bytes(empty())
        assert verify(world.root).faults == ()
    return folder


@pytest.fixture
def log(logs, tmp_path):
    def copy(name):
        return shutil.copytree(logs / name, tmp_path / "log", symlinks=True)

    return copy


def empty():
    return encode_part(no_rows(VIEW), VIEW, metadata={})


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path):
    path.write_bytes(b"")


def cut_footer(path):
    path.write_bytes(path.read_bytes()[:-8])


def flip(path):
    path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR0", 1))


def brace(path):
    path.write_bytes(b"{")


def nothing(path):
    path.write_bytes(b"{}")


def text(path):
    path.write_bytes(b"hello")


def foreign(path):
    pq.write_table(pa.table({"a": [1, 2]}), path)


def as_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


def dangle(path):
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def gone(path):
    path.unlink()


DAMAGES = [cut, blank, cut_footer, flip]
FIRST, LAST = f"{CHAIN}/{0:020d}.parquet", f"{CHAIN}/{6:020d}.parquet"
PARTS = [
    *((LAST, do, ["is damaged", LAST_OF_CHAIN]) for do in DAMAGES),
    (FIRST, cut, ["is damaged", LAST_OF_CHAIN]),
    *((path, as_folder, [NO_FILE, "move it out of the folder", LAST_OF_CHAIN]) for path in (FIRST, LAST)),
    *((path, foreign, [ALIEN, LAST_OF_CHAIN]) for path in (FIRST, LAST, f"{CHAIN}/{999:020d}.parquet")),
    *((path, dangle, ["is a link that leads nowhere", LAST_OF_CHAIN]) for path in (FIRST, LAST)),
    *((path, foreign, [ALIEN, STRAY]) for path in ("x.parquet", "windows/x.parquet", f"{CHAIN}/x.parquet")),
    *((path, text, ["is damaged", STRAY]) for path in ("x.parquet", f"{CHAIN}/x.parquet")),
    *((SEED, do, ["is damaged", "undertow apply writes it again"]) for do in (cut, blank)),
    (SEED, as_folder, [NO_FILE, "undertow apply writes it again"]),
    ("@backfill/job/0.parquet", cut, ["is damaged", "undertow backfill HISTORY --job job"]),
    ("@backfill/job/0.parquet", foreign, [ALIEN, "undertow backfill HISTORY --job job"]),
    ("@backfill/job/0.parquet", as_folder, [NO_FILE, "undertow backfill HISTORY --job job"]),
    *((note, do, ["is damaged", "from a copy"]) for note in ("_view.json", "../_log.json") for do in (brace, nothing)),
    *((note, as_folder, [NO_FILE, "from a copy"]) for note in ("_view.json", "../_log.json")),
]
FOOTERS = f"{CHAIN}/_folded/{0:020d}-{6:020d}.footers.gz"
NOTE, IDENTITY = f"{CHAIN}/_folded/{6:020d}.json", f"{CHAIN}/_folded/chain.json"
COMMIT = f"../@delta/{VIEW.view}/{2:020d}.json"
BATCH, JOB_NOTE = f"@backfill/past/_batches/{1:020d}.json", f"@backfill/past/_folded/{2:020d}.json"
TABLE = [
    *((BATCH, do, ["is damaged", "restore it from a copy"]) for do in (blank, brace, nothing)),
    (BATCH, gone, ["is gone, though the table of history has its chunks", "restore it from a copy"]),
    *((JOB_NOTE, do, ["is damaged", "restore it from a copy"]) for do in (blank, brace, nothing)),
    *(("@table/*/*.parquet", do, ["is damaged", WITHOUT]) for do in (cut, flip)),
    ("@table/*/*.parquet", gone, ["is missing", WITHOUT]),
    ("@table/*/*.parquet", foreign, [ALIEN, WITHOUT]),
    ("@table/*/*.parquet", as_folder, [NO_FILE, WITHOUT]),
    *((COMMIT, do, ["@table cannot be used (", f"@delta/{VIEW.view} from a copy"]) for do in (cut, brace)),
    *((COMMIT, do, ["lacks what was folded into it", f"@delta/{VIEW.view} from the same"]) for do in (gone, as_folder)),
    (f"../@delta/{VIEW.view}", shutil.rmtree, ["lacks what was folded into it", "from the same copy"]),
    ("@table/_delta_log", gone, ["lacks what was folded into it", "from the same copy"]),
    *((FOOTERS, do, ["is damaged", "restore it from a copy"]) for do in (cut, blank)),
    (FOOTERS, gone, ["lacks the footers", "restore it from a copy"]),
    *((note, brace, ["is damaged", "restore it from a copy"]) for note in (NOTE, IDENTITY)),
    *((note, as_folder, [NO_FILE, "restore it from a copy"]) for note in (NOTE, IDENTITY, FOOTERS)),
    (IDENTITY, gone, ["is gone, though the chain was folded", "restore it from a copy"]),
    (f"{CHAIN}/{8:020d}.parquet", cut, ["is damaged", LAST_OF_CHAIN]),
]


@pytest.mark.parametrize(
    ("kind", "where", "do", "words"),
    [*(("parts", *case) for case in PARTS), *(("table", *case) for case in TABLE)],
    ids=lambda value: getattr(value, "__name__", value) if not isinstance(value, list) else "",
)
def test_what_is_damaged_is_one_fault_with_its_name_and_what_can_be_done(log, kind, where, do, words):
    home = log(kind) / VIEW.view
    path = home / where if "*" not in where else next(home.glob(where))
    do(path)
    found = verify(home.parent)
    assert found.unsealed == 0
    (fault,) = found.faults
    assert [word for word in words if word not in fault] == []
    if "@delta" not in f"{path}{fault}" and "lacks" not in fault:
        assert str(path.resolve() if ".." in where else path) in fault
    assert "it will be tried again" not in fault
    assert "\n" not in fault
    assert ("--accept-lost" in fault) == (LAST_OF_CHAIN in words)


def test_the_command_that_verify_names_lets_a_table_go_on_without_a_damaged_file(log):
    root = log("table")
    path = max((root / VIEW.view / "@table").glob("*/*.parquet"), key=lambda path: path.stat().st_size)  # of the chains
    cut(path)
    (fault,) = verify(root).faults
    path.unlink()
    subprocess.run(fault.partition("and run: ")[2], shell=True, check=True, capture_output=True)  # noqa: S602 as typed
    assert verify(root).faults == ()
    world = World(root, lambda: 2e9)
    assert world.places() == [(0, 6), (0, 7), (0, 8), (0, 9), (1, 9), (1, 10), (1, 11), (JOB, 0), (JOB, 1)]
    assert world.maintain().faults == ()
    assert upto(10)[6:] == [place for place in world.places() if not place[0]]


def test_several_faults_are_each_told_and_the_command_fails(log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = log("table") / VIEW.view
    brace(home / "_view.json")
    cut(home / f"{CHAIN}/{8:020d}.parquet")
    gone(next((home / "windows/1/_folded").glob("*.gz")))
    text(home / "x.parquet")
    assert len(verify(home.parent).faults) == 4
    options = ["--set=kafka.extra.bootstrap_timeout_ms=200", "--set=offline.path=log"]
    result = CliRunner().invoke(main, ["check", "--verify", *options])
    assert result.exit_code == 1
    assert result.output.count("failed  offline log, read whole: ") == 4


def test_what_a_maintainer_deletes_while_the_log_is_read_is_no_fault(tmp_path, memory_clock, monkeypatch):
    world = World(tmp_path, memory_clock)
    for _ in range(3):
        world.publish(P0, 2)
    world.maintain()
    look = offline_verify._look

    def look_late(path):
        memory_clock.advance(GRACE_S)
        world.maintain()
        return look(path)

    monkeypatch.setattr(offline_verify, "_look", look_late)
    monkeypatch.setattr(offline_verify, "READERS", 1)
    found = verify(tmp_path)
    assert (found.faults, found.files) == ((), 2)


def test_files_beside_the_folders_of_views_which_nobody_reads_are_no_fault(log):
    root = log("parts")
    text(root / "mine.parquet")
    foreign(root / "other.parquet")
    assert verify(root).faults == ()


def test_a_file_of_another_program_is_never_called_damaged(log):
    home = log("parts") / VIEW.view
    foreign(home / LAST)
    with pytest.raises(Refused, match=ALIEN):
        read_part(home / LAST, ["site"])


def test_a_log_that_names_no_view_or_no_log_is_refused_in_words(log):
    home = log("parts") / VIEW.view
    nothing(home / "_view.json")
    with pytest.raises(Refused, match=r"_view\.json is damaged"):
        require_own(home, VIEW)
    nothing(home.parent / "_log.json")
    with pytest.raises(Refused, match=r"_log\.json is damaged"):
        read_nonce(home.parent)
    assert read_rows(home).num_rows == 20

"""A user's command that mends records: bounded in time and output, and gone with all that it has started."""

import sys
import time
from pathlib import Path

import pytest

from undertow.commands import replay_pipe as mending
from undertow.commands.replay_pipe import mend, parse_command
from undertow.core.errors import Refused


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(file: Path) -> bool:
    """Whether the process whose number is in the file has ended; SIGKILL needs a moment."""
    pid, deadline = int(file.read_text()), time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


def test_what_the_command_writes_is_the_new_record():
    large = bytes(range(256)) * 4096  # more than a pipe holds, both ways
    assert mend(large, ("cat",)).value == large
    assert mend(b"a", ("true",)).value == b""


def test_at_its_time_limit_its_children_end_with_it(tmp_path):
    script = f"sleep 100 & echo $! > {tmp_path}/child; sleep 100"
    with pytest.raises(Refused, match=r"--pipe\) was not done with one record"):
        mend(b"", shell(script), timeout_s=0.5)
    assert gone(tmp_path / "child")


def test_a_child_that_is_left_behind_is_not_waited_for(tmp_path):
    mended = mend(b"", shell(f"echo new; sleep 100 & echo $! > {tmp_path}/child"), timeout_s=60)
    assert mended.value == b"new\n"
    assert gone(tmp_path / "child")


def test_a_command_that_never_stops_writing_is_ended(monkeypatch):
    monkeypatch.setattr(mending, "LARGEST_BYTES", 1 << 20)
    mended = mend(b"", (sys.executable, "-c", "while True: print('x' * 9999)"))
    assert mended.fault == "the command wrote more than 1,048,576 bytes"


def test_of_what_it_complains_about_the_last_line_is_kept():
    mended = mend(b"", shell("yes complaint | head -c 1000000 >&2; echo the end >&2; exit 3"))
    assert mended.fault == "the command ended with 3: the end"
    assert mend(b"", shell("kill -9 $$")).fault == "the command ended with -9 and said nothing"


def test_it_has_no_terminal_to_wait_for():
    assert mend(b"", shell("read answer < /dev/tty || echo none")).value == b"none\n"


@pytest.mark.parametrize("pipe", ["", "  ", "''", "'a"])
def test_what_is_no_command_is_refused_by_the_name_of_the_option(pipe):
    with pytest.raises(Refused, match="--pipe"):
        parse_command(pipe)


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(Refused, match=r"cannot run the command /no/such|'/no/such"):
        mend(b"", ("/no/such", "a b"))

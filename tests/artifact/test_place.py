"""Where an artifact is written: looked at before the work, and nothing is left of the look."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.packing import pack
from undertow.artifact.pack.place import check_place, write
from undertow.cli.main import main
from undertow.core.errors import Refused


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "x"


def below_a_loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop" / "x"


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "below a file": (below_a_file, "Not a directory|File exists"),
    "below a loop": (below_a_loop, "symbolic links|File exists"),
    "forbidden": (lambda _: Path("/proc/undertow/x"), "cannot write the artifact to /proc/undertow/x"),
    "too long": (lambda folder: folder / ("x" * 256), "File name too long"),
    "a parent too long": (lambda folder: folder / ("x" * 256) / "a", "File name too long"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_place_that_cannot_be_is_refused_before_the_checkpoint_is_read(case: str, tmp_path: Path) -> None:
    make, message = PLACES[case]
    output = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Refused, match=message):
        pack(tmp_path / "missing.ckpt", output, name="walk", taps={"hidden": "rnn"}, trust=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_says_it_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"")
    output = below_a_file(tmp_path)
    command = ["pack", str(tmp_path / "model.ckpt"), "--name", "walk", "--tap", "rnn", "--output", str(output)]
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "cannot write the artifact to" in done.output


@pytest.mark.parametrize("name", ["a", "x" * 250, "x" * 255, "new/newer/a"])
def test_a_look_at_a_place_that_can_be_leaves_nothing_and_the_folder_is_written(name: str, tmp_path: Path) -> None:
    check_place(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / name, {"file": b"content"}, lambda _: None)
    assert (tmp_path / name / "file").read_bytes() == b"content"
    assert [one.name for one in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_a_link_that_leads_nowhere_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(Refused, match="exists, and an artifact is never overwritten"):
        check_place(tmp_path / "a")

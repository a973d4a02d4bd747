"""Which files below a folder count: for the log, for history and for windows to fit on, by one walk."""

from pathlib import Path

import pytest

from tests.rights import bound_by_rights
from undertow.adapters.offline_chains import require_whole
from undertow.adapters.offline_parts import part_files
from undertow.adapters.offline_verify import verify
from undertow.backfill.digests import Digests
from undertow.backfill.done import find_done
from undertow.core.errors import Refused, Unavailable
from undertow.core.parquet_files import find_files
from undertow.core.publication import temporary_name


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"PAR1")


def test_a_part_of_the_log_is_a_file_of_its_name_in_any_folder_once_and_in_order(tmp_path):
    log, other_disk = tmp_path / "log", tmp_path / "other disk"
    make(log, "b/0/1.parquet", "b/0/0.parquet", "@backfill/job/x.parquet", "_a/0/0.parquet", ".a/0/0.parquet")
    make(log, "b/0/._1.parquet", "b/0/1.parquet.damaged", f"b/0/{temporary_name()}", "b/0/2.PARQUET", "view.json")
    make(other_disk, "0/0.parquet")
    (log / "c").symlink_to(other_disk)
    (log / "d").symlink_to(log / "b")  # what is there already counts once
    (log / "b" / "round").symlink_to(log)
    (log / "b" / "0" / "9.parquet").symlink_to("nowhere")
    (log / "b" / "0" / "8.parquet").mkdir()
    assert [path.relative_to(log).as_posix() for path in part_files(log)] == [
        ".a/0/0.parquet",
        "@backfill/job/x.parquet",
        "_a/0/0.parquet",
        "b/0/0.parquet",
        "b/0/1.parquet",
        "c/0/0.parquet",
    ]


def test_a_folder_that_is_not_there_has_no_parts(tmp_path):
    make(tmp_path, "file")
    assert part_files(tmp_path / "nothing") == part_files(tmp_path / "file") == part_files(tmp_path / "file/x") == []


@pytest.mark.parametrize("read", [part_files, verify, find_files, require_whole])
def test_a_folder_that_may_not_be_read_is_refused_by_its_name_and_never_passed_over(read, tmp_path):
    make(tmp_path, "a/0/not of the chain.parquet", f"b/0/{0:020d}.parquet")
    closed = tmp_path / "b" / "0"
    closed.chmod(0)
    with pytest.raises(Refused, match=f"{closed} cannot be read .Permission denied.; give this user the right"):
        bound_by_rights(lambda: read(tmp_path))


def test_a_job_whose_folder_may_not_be_read_is_not_taken_for_one_without_parts(tmp_path):
    make(tmp_path, "job/a.parquet")
    (tmp_path / "job").chmod(0)
    digests = Digests(tmp_path / "note", clock=lambda: 0.0)
    with pytest.raises(Refused, match="job cannot be read"):
        bound_by_rights(lambda: find_done([], tmp_path / "job", tmp_path, digests))


def test_a_folder_that_goes_while_it_is_walked_is_tried_again(tmp_path, monkeypatch):
    make(tmp_path, "a/0/0.parquet", "b/0/0.parquet")
    monkeypatch.setattr("undertow.core.parquet_files.os.walk", gone)
    with pytest.raises(Unavailable, match=r"b could not be read .*it will be tried again"):
        part_files(tmp_path)


def gone(top, *, followlinks, onerror):
    assert followlinks
    yield str(top), [], []
    onerror(FileNotFoundError(2, "No such file or directory", f"{top}/b"))

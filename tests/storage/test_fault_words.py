"""What cannot be written is told as that, whoever tried it."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from undertow.adapters.offline_parts import translated
from undertow.adapters.offline_table_version import translated_delta
from undertow.core.errors import Refused, Unavailable
from undertow.storage.store_path import AnyPath


@pytest.mark.parametrize("translate", [translated, translated_delta])
def test_a_read_only_file_system_is_told_as_one_that_may_be_mounted_for_writing(
    translate: Callable[[AnyPath], AbstractContextManager[None]], tmp_path: Path
) -> None:
    expected = r"cannot be written \(read-only file system\): mount it for writing; it will be tried again$"
    with pytest.raises(Unavailable, match=expected), translate(tmp_path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))


def test_who_may_read_and_is_refused_was_to_write(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be written \(Permission denied\): give this user"), translated(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))
    gone = tmp_path / "gone"  # as what may not be read
    with (
        pytest.raises(Refused, match=r"cannot be read \(Permission denied\); give this user the right"),
        translated(gone),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(gone))

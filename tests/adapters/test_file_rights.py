"""Files and folders that this user may not read or write: what to give whom, in one line, and never a try again."""

import pytest

from tests.rights import bound_by_rights
from undertow.adapters.offline_files import publish
from undertow.adapters.offline_parts import encode_part, no_rows, read_metadata, require_intact
from undertow.adapters.offline_root import claim_folder
from undertow.core.errors import Refused
from undertow.core.parquet_files import find_files
from undertow.schemas.spaces import IdColumn, SpaceView

VIEW = SpaceView(name="v", space="5" * 64, series=(IdColumn(name="site", type="string"),), features=(("f", 2),))


@pytest.mark.parametrize(
    ("closed", "act"),
    [
        ("part.parquet", lambda root: read_metadata(root / "part.parquet")),
        ("part.parquet", lambda root: require_intact([root / "part.parquet"])),
        ("history", lambda root: find_files(root / "history")),
        ("history/of", lambda root: find_files(root / "history")),
        ("log", lambda root: publish(root / "log" / "a.parquet", b"", within=root / "log")),
        ("log", lambda root: claim_folder(root / "log", VIEW)),
    ],
    ids=["a part's footer", "a part", "history", "a folder of history", "a folder to write in", "the log"],
)
def test_what_may_not_be_touched_is_refused_with_the_right_to_give(closed, act, tmp_path):
    (tmp_path / "part.parquet").write_bytes(encode_part(no_rows(VIEW), VIEW, metadata={}))
    (tmp_path / "history" / "of").mkdir(parents=True)
    (tmp_path / "log").mkdir()
    (tmp_path / closed).chmod(0)
    with pytest.raises(Refused, match=r"cannot be (read|written) \(Permission denied\); give this user the right to"):
        bound_by_rights(lambda: act(tmp_path))

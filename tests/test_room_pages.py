"""What the rooms' pages say of files and imports is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("room", ["core", "fleet", "backfill", "history", "devstack", "demo", "view"])
def test_a_page_names_every_file_of_its_room_and_none_that_is_not_there(room):
    folder = ROOT / "workers" / room
    named = set(re.findall(r"`(\w+)\.py`", (folder / "README.md").read_text()))
    there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    if room in {"core", "fleet", "backfill"}:
        assert there - named == set()
    assert [name for name in named if not [*ROOT.glob(f"workers/**/{name}.py"), *ROOT.glob(f"schemas/{name}.py")]] == []


def test_ray_is_imported_where_the_page_of_the_fleet_says():
    importing = {
        path.relative_to(ROOT / "workers").as_posix()
        for path in (ROOT / "workers").rglob("*.py")
        if re.search(r"^\s*(import ray\b|from ray[. ])", path.read_text(), re.MULTILINE)
    }
    elsewhere = {name for name in importing if not name.startswith("fleet/")}
    said = {"backfill/job.py", "ray_internals.py"} | {path.name for path in (ROOT / "workers").glob("cluster*.py")}
    assert elsewhere <= said
    page = (ROOT / "workers/fleet/README.md").read_text()
    assert "Ray is imported here, by `backfill/job.py`, and by `cluster*.py` and `ray_internals.py`" in page

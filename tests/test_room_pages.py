"""What the rooms' pages say of files and imports is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


ROOMS = sorted(path.parent for path in [*ROOT.glob("workers/*/README.md"), ROOT / "schemas/README.md"])


@pytest.mark.parametrize("folder", ROOMS, ids=lambda folder: folder.name)
def test_a_page_names_every_module_of_its_room_and_no_file_that_is_not_there(folder):
    page = (folder / "README.md").read_text()
    named = set(re.findall(r"`(\w+)(?:\.py)?`", page))
    files = set(re.findall(r"`(\w+)\.py`", page))
    whole = {name.rstrip("/") for name in re.findall(r"`(\w+/)`", page) if folder.name == "artifact"} & {"faster"}
    there = {path.stem for path in folder.rglob("*.py") if path.parent.name not in whole} - {"__init__"}
    assert there - named == set()
    assert [name for name in files if not [*ROOT.glob(f"workers/**/{name}.py"), *ROOT.glob(f"schemas/{name}.py")]] == []


def test_no_module_stands_outside_a_room():
    loose = {path.name for path in (ROOT / "workers").glob("*.py")}
    assert loose == {"__init__.py"}
    assert {path.name for path in (ROOT / "workers").iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        folder.name for folder in ROOMS
    } - {"schemas"}


def test_ray_is_imported_where_the_page_of_the_fleet_says():
    importing = {
        path.relative_to(ROOT / "workers").as_posix()
        for path in (ROOT / "workers").rglob("*.py")
        if re.search(r"^\s*(import ray\b|from ray[. ])", path.read_text(), re.MULTILINE)
    }
    elsewhere = {name for name in importing if not name.startswith("fleet/")}
    session = {f"ray_session/{path.name}" for path in (ROOT / "workers/ray_session").glob("*.py")}
    said = {"backfill/job.py", "commands/check_nodes.py"} | session
    assert elsewhere <= said
    page = (ROOT / "workers/fleet/README.md").read_text()
    assert "Ray is imported here, in `ray_session`, by `backfill/job.py` and `commands/check_nodes.py`" in page

"""The shape of the tree: what a linter cannot say, and what a plain `pytest` should say too."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for room in ("workers", "schemas", "feature_repo", "tests") for path in (ROOT / room).rglob("*.py")
)


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_source_file_is_longer_than_300_lines():
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}


def test_package_files_hold_a_docstring_and_nothing_else():
    for path in SOURCES:
        if path.name == "__init__.py":
            assert path.read_text().count("\n") == 1, path


def test_no_module_has_a_name_that_says_nothing():
    nothing = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
    assert [path for path in SOURCES if path.name in nothing] == []


def test_every_room_says_what_lives_there_in_25_lines():
    rooms = [path for path in (ROOT / "workers").iterdir() if (path / "__init__.py").exists()]
    for room in [*rooms, ROOT / "schemas", ROOT / "feature_repo"]:
        assert len((room / "README.md").read_text().splitlines()) <= 25, room


def test_imports_only_point_down():
    run(str(Path(sys.executable).with_name("lint-imports")))


def test_the_wheel_holds_two_packages_with_their_data_and_nothing_else(tmp_path):
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"workers", "schemas"}
    assert {"schemas/window.v1.schema.json", "workers/view/page.html"} <= set(names)


def test_help_loads_nothing_heavy():
    program = "import sys, workers.cli; print(sorted({'torch', 'ray', 'feast', 'pandas', 'numpy'} & set(sys.modules)))"
    assert run(sys.executable, "-c", program).strip() == "[]"

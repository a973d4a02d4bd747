"""The shape of the tree: what a linter cannot say, and what a plain `pytest` should say too."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for room in ("workers", "schemas", "feature_repo", "docs", "tests") for path in (ROOT / room).rglob("*.py")
)
PUBLIC = [ROOT / "workers/__init__.py", ROOT / "workers/testing/__init__.py"]
"""What is imported from outside: they hold names."""


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_source_file_is_longer_than_300_lines():
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}


def test_package_files_hold_a_docstring_and_nothing_else():
    for path in SOURCES:
        if path.name == "__init__.py" and path not in PUBLIC:
            assert path.read_text().count("\n") == 1, path


def test_no_module_has_a_name_that_says_nothing():
    nothing = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
    assert [path for path in SOURCES if path.name in nothing] == []


def test_no_two_classes_or_types_have_one_name():
    places = defaultdict[str, list[str]](list)
    for path in (path for path in SOURCES if path.parts[len(ROOT.parts)] in {"workers", "schemas"}):
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [node.name] if isinstance(node, ast.ClassDef) else [getattr(one, "id", "_") for one in targets]
            for name in (name for name in names if name[0].isupper() and not name.isupper()):
                places[name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_every_room_says_what_lives_there_in_25_lines():
    rooms = [path for path in (ROOT / "workers").iterdir() if (path / "__init__.py").exists()]
    for room in [*rooms, ROOT / "schemas", ROOT / "feature_repo"]:
        assert len((room / "README.md").read_text().splitlines()) <= 25, room


def test_imports_only_point_down(tmp_path):
    package = tmp_path / "undertow"
    package.mkdir()
    for path in [*(ROOT / "workers").iterdir(), ROOT / "schemas"]:
        (package / path.name).symlink_to(path)
    run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache", PYTHONPATH=str(tmp_path))


def test_the_wheel_holds_one_package_with_its_data_and_nothing_else(tmp_path):
    source = tmp_path / "source"  # setuptools leaves a build folder beside the sources
    for name in ("workers", "schemas", "feature_repo"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "data", "spaces"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ("-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    run(sys.executable, "-m", "pip", "wheel", *options, str(source))
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = [path.relative_to(ROOT) for room in ("workers", "schemas") for path in (ROOT / room).rglob("*.py")]
    wanted = {"/".join(("undertow", *path.parts[path.parts[0] == "workers" :])) for path in modules}
    data = {"undertow/py.typed", "undertow/view/page.html", "undertow/schemas/py.typed"}
    data |= {f"undertow/schemas/{path.name}" for path in (ROOT / "schemas").glob("window.v1.*")}
    repository = (
        "README.md",
        "embedding_views.py",
        "registry_lock.py",
        "feature_store.postgres.yaml",
        "feature_store.redis.yaml",
        "feature_store.yaml",
        ".feastignore",
    )
    data |= {f"undertow/feature_repo/{name}" for name in repository}
    assert names == wanted | data


def test_help_loads_nothing_heavy():
    program = (
        "import sys, undertow.cli.main; print(sorted({'torch', 'ray', 'feast', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", program).strip() == "[]"

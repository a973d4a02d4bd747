"""What the pages say of files, imports, settings and make's targets is so."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from undertow.settings.settings import Settings

ROOT = Path(__file__).parent.parent


ROOMS = sorted(path.parent for path in [*ROOT.glob("workers/*/README.md"), ROOT / "schemas/README.md"])
FOLDERS = [*ROOMS, *sorted(path.parent for path in ROOT.glob("workers/*/*/README.md"))]
ROOT_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "workers/README.md")]
SITE_PAGES = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [*ROOT_PAGES, *SITE_PAGES, *sorted(ROOT.glob(".github/**/*.md")), *(folder / "README.md" for folder in FOLDERS)]
CODE = re.compile(r"^```bash.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python.*?^```", re.MULTILINE | re.DOTALL)
ENDINGS = {"py", "md", "parquet"}
"""Of files, which look as settings do."""
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?")


def words_of(page: str) -> set[str]:
    """Return what stands as code in a page, word by word, Python apart."""
    return {word.strip("`,;") for code in CODE.findall(PYTHON.sub("", page)) for word in code.split()}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_page_names_every_module_of_its_room_and_no_file_that_is_not_there(folder):
    page = (folder / "README.md").read_text()
    named = set(re.findall(r"`(\w+)(?:\.py)?`", page))
    files = set(re.findall(r"`(\w+)\.py`", page))
    with_pages = {path.parent for path in folder.glob("*/README.md")}  # which name their own
    there = {path.stem for path in folder.rglob("*.py") if path.parent not in with_pages} - {"__init__"}
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_target_and_setting_that_a_page_names_is_there(path):
    page = path.read_text()
    roots = (ROOT, ROOT / "workers", path.parent)
    top = {entry.name for root in roots for entry in root.iterdir()} - {".undertow", ".venv"}
    files = {word for word in words_of(page) if FILE.fullmatch(word)} - {"tests/ROOM"}
    files = {word for word in files if word.split("/")[0] in top or word.endswith((".py", ".md", ".toml", ".yml"))}
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page) if "://" not in link} - {""}
    assert [file for file in files if not any((root / file).exists() for root in roots)] == []
    assert [file for file in linked if not (path.parent / file).exists()] == []

    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for code in CODE.findall(page) for target in re.findall(r"\bmake ([a-z-]+)", code)}
    assert named - targets == set()

    settings = [re.fullmatch(r"([a-z]+)\.([a-z_]+)(?:=\S+)?", word) for word in words_of(page)]
    sections = {name: field.annotation for name, field in Settings.model_fields.items() if not name.startswith("log_")}
    keys = {match.groups() for match in settings if match and match[1] in sections and match[2] not in ENDINGS}
    assert {(section, key) for section, key in keys if key not in sections[section].model_fields} == set()


def test_every_setting_that_a_text_of_the_source_names_is_there():
    sections = {name: field.annotation for name, field in Settings.model_fields.items() if not name.startswith("log_")}
    named = re.compile(rf"(?<![\w./-])({'|'.join(sections)})\.([a-z]+(?:_[a-z]+)+)\b(?![(.])")
    wrong = {}
    for path in [*(ROOT / "workers").rglob("*.py"), *(ROOT / "schemas").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for section, key in named.findall(node.value):
                    if key not in sections[section].model_fields:
                        wrong[f"{section}.{key}"] = f"{path.relative_to(ROOT)}:{node.lineno}"
    assert wrong.keys() - {"feast.repo_operations"} == set(), wrong  # which is a logger of Feast's


def test_the_page_of_the_whole_shows_the_rooms_in_the_layers_that_import_linter_holds():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    picture = (ROOT / "workers/README.md").read_text().partition("## The rooms")[2].partition("## ")[0]
    shown = [re.split(r" {2,}", line.strip())[0] for line in picture.splitlines() if line.startswith("    ")]
    assert shown == next(
        one["layers"] for one in contracts if one.get("exhaustive") and one["containers"] == ["undertow"]
    )

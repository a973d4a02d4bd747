"""`undertow init`: create a project.

In: a folder. Out: files, and lines that say what was created and what to do next. Knows no setting by name.
"""

from collections.abc import Iterator
from pathlib import Path

from undertow.commands.example import FILES, NEXT, SET
from undertow.core.errors import Refused
from undertow.settings.reference import commented_toml
from undertow.settings.settings import TOML

REPOSITORY = "feature_repo"
LEFT_OUT = {"data", "__pycache__", "spaces"}
"""Folders that commands write into a Feast repository, and that are not copied."""


def make_project(folder: Path) -> list[str]:
    """Write the missing files; return lines for the user. Raises `Refused` if the folder cannot be written."""
    wanted = {TOML: commented_toml(SET), **FILES}
    wanted |= {f"{REPOSITORY}/{path}": text for path, text in _texts(_repository(), "")}
    made: list[str] = []
    try:
        for name, text in wanted.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(text)
                made.append(name)
        (folder / REPOSITORY / "spaces").mkdir(exist_ok=True)
    except OSError as error:
        message = f"expected a folder that can be written at {folder}: {error.filename}: {error.strerror}"
        raise Refused(message) from error
    kept = [name for name in wanted if name not in made]
    lines = [f"made in {folder}: {', '.join(made) or 'nothing'}"]
    if kept:
        lines.append(f"left as they are: {', '.join(kept)}")
    return [*lines, "", "next, in that folder:", *(f"  {line}" for line in NEXT.splitlines())]


def _repository() -> Path:
    """Return the Feast repository of this installation: inside the package, or beside it in a source tree."""
    package = Path(__file__).parents[1]
    return next(path for root in (package, package.parent) if (path := root / REPOSITORY).is_dir())


def _texts(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name not in LEFT_OUT:
            yield from _texts(entry, f"{prefix}{entry.name}/")
        elif entry.is_file() and not entry.name.endswith((".pyc", ".json")):
            yield f"{prefix}{entry.name}", entry.read_text()

"""`undertow init`: create a project.

In: a folder. Out: files, and lines that say what was created and what to do next. Knows no setting by name.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from undertow.commands.example import FILES, NEXT, SET
from undertow.core.errors import Refused
from undertow.core.publication import NoHardLinksError, create_file, replace_file
from undertow.settings.reference import commented_toml
from undertow.settings.settings import TOML

REPOSITORY = "feature_repo"
SPACES = f"{REPOSITORY}/spaces"
ADVICE = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on that disk")
LONGEST_FLEET_NAME = 40
"""Ray's namespace, the lease and log lines show it: short enough to be read there. A choice."""
LEFT_OUT = {"data", "__pycache__", "spaces"}
"""Folders that commands write into a Feast repository, and that are not copied."""


def make_project(folder: Path) -> list[str]:
    """Write the missing files, all or none; return lines for the user.

    Raises `Refused` where something is in the way, having written nothing, and where the folder cannot be written.
    """
    given = {"fleet.name": f'"{fleet_name(folder)}"', **SET}
    wanted = {name: text.encode() for name, text in {TOML: commented_toml(given), **FILES}.items()}
    wanted |= {f"{REPOSITORY}/{path}": content for path, content in _contents(_repository(), "")}
    if in_the_way := list(_in_the_way(folder, wanted)):
        message = f"expected room for a project in {folder}, found in the way: {', '.join(in_the_way)}; nothing was "
        raise Refused(message + "written: move that away, or name another folder")
    made = write_missing(folder, wanted, folders=(SPACES,))
    kept = [name for name in wanted if name not in made]
    lines = [f"made in {folder}: {', '.join(made) or 'nothing'}"]
    if kept:
        lines.append(f"left as they are: {', '.join(kept)}")
    hiding = [name for name in ("undertow.py", "undertow/__init__.py") if (folder / name).exists()]
    lines += [f"{name} hides the package undertow where PYTHONPATH=. is set, as below: rename it" for name in hiding]
    return [*lines, "", "next, in that folder:", *(f"  {line}" for line in NEXT.splitlines())]


def fleet_name(folder: Path) -> str:
    """Return a name for the fleet of a project: its folder's, so that commands of another project do not reach it."""
    letters = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-.")
    return letters[:LONGEST_FLEET_NAME] or "undertow"


def write_missing(folder: Path, files: Mapping[str, bytes], *, folders: Iterable[str] = ()) -> list[str]:
    """Write the files and folders that are not there, each whole; return the names of the files.

    Raises `Refused` where one cannot be written, and then removes what it wrote.
    """
    made: list[str] = []
    new: list[Path] = []
    path = folder
    try:
        for name, content in files.items():
            path = folder / name
            for one in _made_folders(path.parent):
                new.append(one)  # noqa: PERF402  so that those before a failure are known
            if not path.exists() and _create(path, content):
                made.append(name)
                new.append(path)
        for name in folders:
            path = folder / name
            for one in _made_folders(path):
                new.append(one)  # noqa: PERF402
    except OSError as error:
        left = [str(one) for one in reversed(new) if not _removed(one)]
        message = (
            f"expected to write {path}, but: {error.strerror}; {', '.join(left) or 'nothing'} of the project was left "
            f"there: {ADVICE.get(error.errno or 0, 'see to it that you may write there')}, and run undertow init again"
        )
        raise Refused(message) from error
    return made


def _in_the_way(folder: Path, files: Iterable[str]) -> Iterator[str]:
    """Yield what is where a folder or a file of the project has to be, and is neither. A link is what it leads to."""
    places = [folder / name for name in files]
    folders = {one for place in (*places, folder / SPACES / "any") for one in place.parents}
    for path in sorted(folders):
        if os.path.lexists(path) and not path.is_dir():
            yield f"{path} ({_kind(path)}, where a folder must be)"
    for path in places:
        if os.path.lexists(path) and not path.is_file():
            yield f"{path} ({_kind(path)}, where a file must be)"


def _kind(path: Path) -> str:
    if not path.exists():
        return "a link to nothing"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "a pipe or a device"


def _made_folders(path: Path) -> Iterator[Path]:
    for one in (*reversed(path.parents), path):
        if not one.exists():
            one.mkdir(exist_ok=True)
            yield one


def _create(path: Path, content: bytes) -> bool:
    try:
        return create_file(path, content)
    except NoHardLinksError:
        replace_file(path, content)  # nothing was there a moment ago
        return True


def _removed(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    return not os.path.lexists(path)


def _repository() -> Path:
    """Return the Feast repository of this installation: inside the package, or beside it in a source tree."""
    package = Path(__file__).parents[1]
    return next(path for root in (package, package.parent) if (path := root / REPOSITORY).is_dir())


def _contents(folder: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name not in LEFT_OUT:
            yield from _contents(entry, f"{prefix}{entry.name}/")
        elif entry.is_file() and not entry.name.endswith((".pyc", ".json")):
            yield f"{prefix}{entry.name}", entry.read_bytes()

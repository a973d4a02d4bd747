"""Pages of the repository outside docs/, taken into the site, and links that lead out of docs/.

In: markdown. Out: the files that its links reach, and the markdown with links that hold within the site. Knows no
theme and no plug-in.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
TAKEN = "repository"
"""The site's folder for what lies outside docs/, under its path in the repository."""
_CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?![\w+.-]+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")


@dataclass(frozen=True, slots=True)
class Link:
    """A relative link of a page."""

    start: int
    end: int
    target: str
    """The path that it leads to, relative to the repository's root; beyond it, it begins with `..`."""
    anchor: str


def links(markdown: str, page: str) -> Iterator[Link]:
    """Yield the relative links of the page at the path `page`; what stands as code is none."""
    code = [found.span() for found in _CODE.finditer(markdown)]
    for found in _LINK.finditer(markdown):
        if not any(start <= found.start() < end for start, end in code):
            target = os.path.normpath(PurePosixPath(page).parent / found[1])
            yield Link(*found.span(), target, found[2] or "")


def reached(pages: Iterable[str], root: Path = ROOT) -> set[str]:
    """Return the files outside docs/ that these pages link to, those that they link to as well, and so on."""
    found: set[str] = set()
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        if not page.endswith(".md") or not (root / page).is_file():
            continue
        for link in links((root / page).read_text(), page):
            if (root / link.target).is_file() and not is_in_docs(link.target) and link.target not in found:
                found.add(link.target)
                waiting.append(link.target)
    return found


def relinked(markdown: str, page: str, there: Iterable[str]) -> str:
    """Return a page with its links as they are in the site, of which `there` are the files taken from the repository.

    A link to something else stays as it is, so that mkdocs tells of it.
    """
    taken, written, last = {*there}, [], 0
    here = PurePosixPath(in_site(page)).parent
    for link in links(markdown, page):
        if is_in_docs(link.target) or link.target in taken:
            path = os.path.relpath(in_site(link.target), here)
            written += [markdown[last : link.start], f"]({path}{link.anchor})"]
            last = link.end
    return "".join([*written, markdown[last:]])


def is_in_docs(path: str) -> bool:
    """Say whether a path of the repository lies in docs/."""
    return path.startswith(f"{DOCS}/")


def in_site(path: str) -> str:
    """Return where a file of the repository lies in the site's sources."""
    return path.removeprefix(f"{DOCS}/") if is_in_docs(path) else f"{TAKEN}/{path}"


def in_repository(path: str) -> str:
    """Return where a file of the site's sources lies in the repository."""
    return path.removeprefix(f"{TAKEN}/") if path.startswith(f"{TAKEN}/") else f"{DOCS}/{path}"

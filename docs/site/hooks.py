"""What mkdocs calls while it builds the site.

In: mkdocs' configuration, files and pages. Out: the same with the repository's own pages, links that hold, and what is
read off the code. Knows none of what is generated.
"""

import logging
import re
import tempfile
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from generated import GENERATED
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from repository_pages import ROOT, TAKEN, in_repository, in_site, reached, relinked

log = logging.getLogger("mkdocs.hooks.undertow")  # below `mkdocs`: what it warns of fails a strict build
PLACE = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)
"""Where something that is read off the code stands in a page."""
_linked = tempfile.TemporaryDirectory(prefix="undertow-docs-")
"""The package as it is imported, made of links: mkdocstrings reads folders and asks no import hook."""


@event_priority(100)  # before mkdocstrings reads its paths
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write out the navigation, and let mkdocstrings find the package."""
    nav = config.nav or []
    config.nav = _expanded(nav, Path(config.docs_dir), _named(nav))
    about = metadata("undertow")
    config.copyright = f"Undertow {about['Version']}, {about['License-Expression']}"
    package = Path(_linked.name) / "undertow"
    package.mkdir(exist_ok=True)
    for path in (*(ROOT / "workers").iterdir(), ROOT / "schemas"):
        link = package / path.name
        if not link.exists():
            link.symlink_to(path)
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [_linked.name]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in the repository's pages that the navigation names or that a page leads to."""
    named = [in_repository(path) for path in _named(config.nav or []) if path.startswith(f"{TAKEN}/")]
    pages = [in_repository(file.src_uri) for file in files.documentation_pages()]
    for path in sorted({*named, *reached([*pages, *named])}):
        files.append(File.generated(config, in_site(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is read off the code, and turn links to the repository into links of the site."""
    del config
    taken = [in_repository(file.src_uri) for file in files if file.src_uri.startswith(f"{TAKEN}/")]

    def generate(found: re.Match[str]) -> str:
        if found[1] not in GENERATED:
            log.warning("%s asks for %r, which is none of %s", page.file.src_uri, found[1], ", ".join(GENERATED))
            return ""
        return GENERATED[found[1]]()

    return PLACE.sub(generate, relinked(markdown, in_repository(page.file.src_uri), taken))


def _named(entry: Any) -> list[str]:
    """Return the pages that a part of the navigation names."""
    if isinstance(entry, str):
        return [entry]
    inside = entry.values() if isinstance(entry, dict) else entry
    return [path for one in inside for path in _named(one)]


def _expanded(entries: list[Any], docs: Path, named: list[str]) -> list[Any]:
    """Put pages in place of `folder/*`, those apart that are named elsewhere; sections without pages are left out."""
    expanded: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            parts = {
                title: _expanded(inside, docs, named) if isinstance(inside, list) else inside
                for title, inside in entry.items()
            }
            expanded += [parts] if all(parts.values()) else []
        elif entry.endswith("*"):
            expanded += [path for path in _pages(docs, entry) if path not in named]
        else:
            expanded.append(entry)
    return expanded


def _pages(docs: Path, pattern: str) -> list[str]:
    found = [path.relative_to(docs).as_posix() for path in docs.glob(f"{pattern}.md")]
    return sorted(found, key=lambda path: (not path.endswith("/index.md"), path))

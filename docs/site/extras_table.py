"""What can be installed beside the core, as pyproject.toml has it.

In: pyproject.toml. Out: markdown. Knows no package.
"""

import re
import tomllib

from repository_pages import ROOT
from tables import code, table

from undertow.core.extras import PACKAGES

_REQUIREMENT = re.compile(r"[\w.-]+(\[[\w,.-]+\])?")
_ABOVE = re.compile(r"^# (.+)\n([a-z]+) = \[", re.MULTILINE)
"""An extra and the line of comment above it."""


def core_packages() -> str:
    """Return what is always installed."""
    return ", ".join(_names(_project()["dependencies"]))


def extras() -> str:
    """Return each extra that users install, with what it is for and what it brings."""
    about = {name: text for text, name in _ABOVE.findall((ROOT / "pyproject.toml").read_text())}
    brought = _project()["optional-dependencies"]
    rows = ((code(name), about[name], ", ".join(_names(brought[name]))) for name in ("all", *PACKAGES))
    return table(("Extra", "What it is for", "What it brings"), rows)


def _project() -> dict[str, dict[str, list[str]]]:
    project: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _names(requirements: list[str]) -> list[str]:
    return [code(found[0]) for one in requirements if (found := _REQUIREMENT.match(one))]

"""The examples, as they are read: programs and notebooks as code with a heading each.

In: the files of docs/examples/. Out: markdown. Runs none of them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from repository_pages import ROOT
from tables import code

EXAMPLES = ROOT / "docs/examples"


def examples() -> str:
    """Return every example."""
    shown = {path.name: [_python(path.read_text())] for path in EXAMPLES.glob("*.py")}
    shown |= {path.name: list(_cells(path)) for path in EXAMPLES.glob("*.ipynb")}
    return "\n\n".join("\n\n".join([f"## {code(name)}", *parts]) for name, parts in sorted(shown.items()))


def _cells(notebook: Path) -> Iterator[str]:
    for cell in json.loads(notebook.read_text())["cells"]:
        text = "".join(cell["source"])
        yield _python(text) if cell["cell_type"] == "code" else re.sub("^#", "###", text, flags=re.MULTILINE)


def _python(text: str) -> str:
    return f"```python\n{text.strip()}\n```"

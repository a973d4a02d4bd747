"""What the room's README says of its imports is what it imports."""

import ast
import sys
from pathlib import Path

ROOM = Path(__file__).parents[2] / "schemas"


def test_the_readme_names_exactly_the_vendors_that_are_imported():
    found = set()
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0] for name in names}
    vendors = found - {"undertow"} - sys.stdlib_module_names
    said = (ROOM / "README.md").read_text().partition("of others ")[2].partition("\n\n")[0]
    assert {word for word in said.split("`")[1::2] if "[" not in word} == vendors

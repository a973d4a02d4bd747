"""What is measured goes to the console and, if asked, between two marks of the README.

In: Markdown printed on a console. Out: the README with its part replaced. Knows nothing of what it says.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console

README = Path(__file__).parent / "README.md"
WIDTH = 190


class Section:
    """Parts of the README that are measured."""

    def __init__(self, head: Callable[[Console], None], *, write: bool, path: Path = README) -> None:
        """`head` prints what stands above each part."""
        self.console = Console(width=WIDTH, record=True)
        self._head, self._write, self._path = head, write, path

    def status(self, text: str) -> AbstractContextManager[object]:
        """Say what is being done."""
        return self.console.status(text)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Take what is printed inside as the part of this name."""
        self.console.export_text()  # forgets what was printed before
        self._head(self.console)
        yield
        text = self.console.export_text()
        if self._write:
            self._path.write_text(replaced(self._path.read_text(), name, text))


def replaced(readme: str, name: str, text: str) -> str:
    """Return the README with this between the marks `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    if begin not in readme or end not in readme:
        message = f"expected the marks {begin.strip()} and {end} in the README, found none: put them where it belongs"
        raise ValueError(message)
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}{lines}\n{end}", readme, flags=re.DOTALL)

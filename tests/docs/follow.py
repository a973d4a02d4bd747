"""Follow a page of the manual as its reader would: run each block, and see what it says is seen.

- `bash` runs in one shell a page (what it exports stays), by the real command line; `python` in one namespace a page.
- `text` behind one of them is what it shows: its lines come in this order, `...` stands for anything.
- A block whose line before names a file (`x.toml`:) is saved there. `undertow.toml` is read as settings instead, so
  that a page may show another broker's address.
- `json` is a record, taken by the artifact that lies in the folder.
- What is not run says so: `<!-- not run: REASON -->` stands before it; what it would show is only to be read, too.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.markdown import Block, blocks
from undertow.artifact.format.manifest import read_manifest
from undertow.schemas.records import Partition, Record
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import TOML, Settings
from undertow.wiring.formats import open_decode

BASH = shutil.which("bash")
MARK = "-- what follows is the environment --"


@contextlib.contextmanager
def in_project(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Let this process be one that was started in a folder, with an environment; forget what it imports from there."""
    before = dict(os.environ)
    with contextlib.chdir(folder):
        os.environ.clear()
        os.environ.update(environment)
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            os.environ.clear()
            os.environ.update(before)
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None)).startswith(f"{folder}{os.sep}"):
                    del sys.modules[name]


class Reader:
    """One reader of one page: a folder, a shell's environment, a Python namespace, and what was shown last."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._shown: str | None = ""

    def follow(self, page: Path) -> int:
        """Run all blocks of a page; return how many there are. What does not hold is an AssertionError."""
        found = list(blocks(page.read_text()))
        for block in found:
            if block.not_run is not None:
                self._shown = None
                continue
            try:
                self._take(block, f"{page.name}:{block.line}")
            except Exception as error:
                error.add_note(f"in the block at {page.name}:{block.line}")
                raise
        return len(found)

    def _take(self, block: Block, where: str) -> None:
        kinds = {"bash": self._bash, "python": self._python, "text": self._text, "json": self._json}
        if block.file == TOML:
            Settings(**tomllib.loads(block.text))
        elif block.file is not None:
            (self._folder / block.file).write_text(block.text)
        else:
            assert block.language in kinds, f"{where}: a block of {block.language or 'no language'} is not run: say why"
            kinds[block.language](block.text, where)

    def _bash(self, text: str, where: str) -> None:
        script = f"set -euo pipefail\n{text}\necho '{MARK}'; env -0"
        command = [BASH, "-c", script]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self._shown, _, exported = done.stdout.decode().rpartition(f"{MARK}\n")
        assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{done.stdout.decode()}"
        self._environment = dict(one.split("=", 1) for one in exported.split("\0") if one)

    def _python(self, text: str, where: str) -> None:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), in_project(self._folder, self._environment):
            exec(compile(text, where, "exec"), self._names)  # noqa: S102 what a reader pastes
        self._shown = shown.getvalue()

    def _text(self, text: str, where: str) -> None:
        if self._shown is None:
            return
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        wanted = ".*?".join(".*?".join(map(re.escape, line.split("..."))) for line in lines)
        shown = " ".join(self._shown.split())
        assert re.search(wanted, shown), f"{where}: expected\n{text}\nfound\n{self._shown}"

    def _json(self, text: str, where: str) -> None:
        value = json.dumps(json.loads(text)).encode()
        record = Record(partition=Partition("windows", 0), offset=0, appended_us=0, value=value)
        decode = open_decode(KafkaSettings(), read_manifest(self._folder / "artifact").contract)
        assert not decode([record]).rejects, where

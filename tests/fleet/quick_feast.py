"""Feast's own `apply` in a fork of a process that has imported Feast: each import of it costs seconds of CPU.

In: `FeastSettings`. Out: the registry, as `workers.adapters.feast_repo.apply` makes it by a process of its own. Knows
no test.
"""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from workers.sections import FeastSettings

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["feast.cli.cli"])


def apply(feast: FeastSettings) -> tuple[str, ...]:
    """Run `feast apply` on the repository; leave what it says beside it."""
    said = feast.repo.parent / "feast-apply.log"
    arguments = ["-c", str(feast.repo), "-f", str(feast.repo / feast.config), "apply", "--no-progress"]
    process = _FORKS.Process(target=_run, args=(arguments, {**os.environ}, said))
    process.start()
    process.join()
    assert process.exitcode == 0, said.read_text()
    return ()


def _run(arguments: Sequence[str], environment: Mapping[str, str], said: Path) -> None:
    from feast.cli.cli import cli  # noqa: PLC0415 the test process shall not pay for it

    os.environ.clear()
    os.environ.update(environment)
    with said.open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    cli(arguments)

"""`undertow.adapters.feast_repo.apply` in a fork of a process that has imported Feast: an import costs seconds of CPU.

In: what that function takes. Out: the registry, as it makes it by a process of its own. Knows no test.
"""

import multiprocessing
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from undertow.adapters.feast_apply import Request, carry_out
from undertow.adapters.feast_store import config_path, environment
from undertow.settings.sections import FeastSettings

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["feast.repo_operations", "undertow.adapters.feast_apply"])


def apply(
    feast: FeastSettings, applied: Mapping[str, bool] | None = None, *, pruned: Iterable[str] = ()
) -> tuple[str, ...]:
    """Apply the repository; leave what Feast says beside it."""
    said = feast.repo.parent / "feast-apply.log"
    config = str(config_path(feast))
    request = Request(repo=str(feast.repo.resolve()), config=config, applied=applied or {}, pruned=tuple(pruned))
    process = _FORKS.Process(target=_run, args=(request, environment(feast), said))
    process.start()
    process.join()
    assert process.exitcode == 0, said.read_text()
    return ()


def _run(request: Request, environment: Mapping[str, str], said: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with said.open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    carry_out(request)

"""The maintainer of a fleet's log as a Ray actor: a process of its own, at low priority, which may die at any time.

In: a recipe. Out: a report of each run. Knows no rule: what is folded and deleted is decided in `undertow.history`.
"""

import logging
import os
from collections.abc import Iterator
from typing import Any

import ray

from undertow.core.errors import UndertowError
from undertow.core.secret_mask import MaskText
from undertow.fleet.build import Stamped
from undertow.fleet.maintain_status import MaintainReport
from undertow.history.maintain import Maintained
from undertow.history.maintaining import maintain_folder
from undertow.telemetry.logs import log_to_stderr
from undertow.wiring.recipes import EmbedRecipe
from undertow.wiring.root import StreamRecipe
from undertow.wiring.secrets import mask_of_fleet

log = logging.getLogger(__name__)

NICENESS = 19
"""The lowest priority. Ray (2.60) gives all its workers 15, replicas too: of a CPU that both want this gets less than
half of what a replica gets."""


class MaintainerActor:
    """Runs one after the other; nothing is kept between two."""

    def __init__(self) -> None:
        """Take a low priority, before there are threads of libraries, which inherit it."""
        os.nice(NICENESS)
        self._mask: MaskText | None = None

    def maintain(self, recipe_of_a_build: Stamped[StreamRecipe]) -> MaintainReport:
        """Maintain the views of all artifacts once. A fault of one is reported, and the others are maintained."""
        recipe = recipe_of_a_build.value
        if self._mask is None:
            self._mask = mask_of_fleet(recipe)
            log_to_stderr(recipe.tell.log, fleet=recipe.fleet.name, replica="maintainer", mask=self._mask)
        return report([*_maintained(recipe.artifacts)], self._mask)


def report(views: list[tuple[str, Maintained]], mask: MaskText) -> MaintainReport:
    """Sum up what was done to views, by their names."""
    done = sum((one for _, one in views), Maintained())
    return MaintainReport(
        pid=os.getpid(),
        rows=done.rows,
        text=mask("; ".join(f"{view}: {one}" for view, one in views if one.has_changed)),
        faults=tuple(mask(f"{view}: {fault}") for view, one in views for fault in one.faults),
    )


def _maintained(artifacts: tuple[EmbedRecipe, ...]) -> Iterator[tuple[str, Maintained]]:
    for artifact in artifacts:
        view = artifact.manifest.view()
        try:
            if artifact.log is not None:
                artifact.log.require()
                yield view.view, maintain_folder(artifact.offline, view)
        except UndertowError as error:
            yield view.view, Maintained(faults=(str(error),))
        except Exception as error:  # told and tried again, whatever a library raises
            log.exception("the log of %s could not be maintained", view.view)
            yield view.view, Maintained(faults=(f"{type(error).__name__}: {error}",))


maintainer_actor: Any = ray.remote(num_cpus=0, max_restarts=0)(MaintainerActor)

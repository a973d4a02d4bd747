"""Run one Feast `apply` in a subprocess: it changes the working directory and imports the repository's definitions.

In: a `Request` on standard input. Out: Feast's registry and online tables. Feast's own `apply` deletes what is not
defined here; this one registers what is, and deletes only what it is told to. Knows no artifact.
"""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DEFINITIONS = "embedding_views"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request to the subprocess."""

    repo: str
    config: str
    """The configuration's absolute path."""
    applied: Mapping[str, bool] = field(default_factory=dict)
    """Views to register again, whatever the registry has; True where the view is promoted for readers of its name."""
    pruned: tuple[str, ...] = ()
    """Views to delete, with their online vectors."""

    def to_text(self) -> str:
        """Serialize it for `main`."""
        return json.dumps(asdict(self))


def main() -> None:
    """Carry out the request on standard input."""
    importlib.import_module("feast.repo_operations")  # takes seconds, during which the parent prepares the request
    carry_out(Request(**json.loads(sys.stdin.read())))


def carry_out(request: Request) -> None:
    """Register the repository's definitions beside everything that is registered already."""
    from feast import FeatureStore  # noqa: PLC0415 - see `open_store`
    from feast.repo_operations import parse_repo  # noqa: PLC0415 - likewise

    repo = Path(request.repo)
    os.chdir(repo)
    sys.path.insert(0, str(repo))
    os.environ["FEAST_FS_YAML_FILE_PATH"] = request.config  # for the definitions, which read the registry
    contents = parse_repo(repo)
    ours = importlib.import_module(DEFINITIONS)
    own = {id(value) for value in vars(ours).values()}
    theirs = [one for group in contents for one in group if id(one) not in own]
    store = FeatureStore(repo_path=str(repo), fs_yaml_file=Path(request.config))
    with ours.registry_lock(store):
        store.refresh_registry()
        held = ours.read_registered(store)
        declared = ours.declare(ours.read_spaces(), held, request.applied)
        _apply(store, request, theirs, held, declared)


def _apply(store: Any, request: Request, theirs: list[Any], held: Any, declared: Any) -> None:
    pruned = [held.views[name] for name in request.pruned if name in held.views]
    kept = [view for name, view in held.views.items() if declared.views[name] is view and view not in pruned]
    # Registered views are not written again: a SQL registry has no lock, and another process may be changing it.
    new = [
        thing
        for before, after in (
            (held.entities, declared.entities),
            (held.views, declared.views),
            (held.services, declared.services),
        )
        for name, thing in after.items()
        if before.get(name) is not thing
    ]
    served = {service.feature_view_projections[0].name: service for service in held.services.values()}
    doomed = [
        *pruned,
        *(view.batch_source for view in pruned),
        *(served[view.name] for view in pruned if view.name in served),
    ]
    store.apply([*theirs, *new], objects_to_delete=doomed, partial=not doomed)
    # A store may have lost the tables of registered views, which Feast does not check.
    store.provider.update_infra(
        project=store.project,
        tables_to_delete=[],
        tables_to_keep=kept,
        entities_to_delete=[],
        entities_to_keep=[],
        partial=True,
    )

"""Recipes: everything needed to embed by one artifact, looked up before anything starts.

In: settings, read once on the driver. Out: an `EmbedRecipe` for each artifact, frozen plain data. Knows neither what is
built from it nor whether a stream or a backfill asks.
"""

from dataclasses import dataclass, replace

from undertow.adapters.feast_repo import OnlineRecipe, online_recipe, registered_views
from undertow.adapters.offline_root import LogIdentity, claim_folder, make_log, read_nonce
from undertow.artifact.format.allowed_code import require_allowed_code
from undertow.artifact.format.manifest import Manifest, read_compiled, read_manifest, read_weights
from undertow.core.errors import Refused
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.sections import ModelSettings
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRecipe:
    """Everything that a process needs to embed windows by one artifact, and to write the embeddings."""

    model: ModelSettings
    """Names this artifact alone."""
    manifest: Manifest
    online: OnlineRecipe
    offline: OfflineSettings
    log: LogIdentity | None = None
    """The offline log that every process must see; None where none is written."""


def embed_recipes(settings: Settings) -> tuple[EmbedRecipe, ...]:
    """Look up everything that embedding needs. Raises `Refused` where something is missing or damaged."""
    recipes = tuple(embed_recipe(settings, path) for path in settings.model.artifacts)
    if len({recipe.manifest.view().view for recipe in recipes}) < len(recipes):
        found = ", ".join(f"{recipe.model.artifact} ({recipe.manifest.view().view})" for recipe in recipes)
        message = f"expected artifacts of different names or spaces (model.artifact), found the same one twice: {found}"
        raise Refused(message)
    return recipes


def embed_recipe(settings: Settings, path: AnyPath) -> EmbedRecipe:
    """Look up everything that embedding by the artifact in `path` needs."""
    model = settings.model
    manifest = read_manifest(path)
    read_weights(path, manifest)  # hashed here, so that no replica is the first to find damage
    if model.run_compiled:
        read_compiled(path, manifest)
    require_allowed_code(manifest.model, model.code)
    online = online_recipe(settings.feast, manifest.view())
    _refuse_private_store(settings, online)
    return EmbedRecipe(
        model=model.model_copy(update={"artifact": path.absolute()}),
        manifest=manifest,
        online=online,
        offline=settings.offline.model_copy(update={"path": settings.offline.path.absolute()}),
    )


def require_applied_log(recipe: EmbedRecipe) -> None:
    """Raise `Refused` where the view was applied with another log than is there now: its disk may not be mounted."""
    root, applied = recipe.offline.path, recipe.online.log
    if not applied or (found := read_nonce(root)) == applied:
        return
    seen = f"another one ({found[:8]})" if found else "none"
    message = (
        f"expected at {root} (offline.path) the offline log {applied[:8]}, found {seen}; "
        f"{recipe.manifest.view().view} was applied with the former. Mount its disk, or set offline.path; to go "
        "on with what lies there, or to begin anew: undertow apply"
    )
    raise Refused(message)


def with_log(settings: Settings, recipe: EmbedRecipe) -> EmbedRecipe:
    """Add the offline log, and claim the view's folder in it. Raises `Refused`."""
    require_applied_log(recipe)
    log = make_log(recipe.offline.path)
    claim_folder(log.root, recipe.manifest.view(), registered=registered_views(settings.feast.repo))
    return replace(recipe, log=log)


def _refuse_private_store(settings: Settings, online: OnlineRecipe) -> None:
    """Raise `Refused` for a store that is local to each node."""
    if online.type == "sqlite" and settings.fleet.address != "local":
        message = (
            f"the online store of {settings.feast.config} is SQLite, a file on one machine, and fleet.address = "
            f"{settings.fleet.address!r} joins a Ray that may have several: choose a store that all nodes reach, "
            "such as feast.config=feature_store.redis.yaml, or fleet.address=local"
        )
        raise Refused(message)

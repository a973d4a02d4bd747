"""The one composition root: from settings to recipes, and from recipes to running parts.

In: settings, read once on the driver. Out: recipes (frozen plain data that travel to other processes), and in those
processes the parts built from them. Every fault that can be found before anything starts is found here, in one line.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.records import Partition
from workers.adapters.feast_repo import OnlineRecipe, apply, online_recipe, register
from workers.adapters.kafka_admin import describe_topic, ensure_dead_letters, refuse_live_group
from workers.adapters.kafka_dead_letters import KafkaDeadLetters
from workers.adapters.kafka_source import KafkaSource
from workers.adapters.offline_log import FileOfflineLog
from workers.adapters.online_feast import FeastOnline
from workers.adapters.online_redis import RedisOnline
from workers.adapters.online_sqlite import SqliteOnline
from workers.artifact.manifest import Manifest, read_compiled, read_manifest, read_weights
from workers.artifact.recipes import refuse_foreign_code
from workers.core.embedding import Embed
from workers.core.ports import OnlineSink
from workers.formats import open_decode, require_format
from workers.settings import KafkaSettings, ModelSettings, OfflineSettings, Settings
from workers.stream import Limits, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRecipe:
    """Everything that a process needs to embed windows and to write what they became."""

    model: ModelSettings
    manifest: Manifest
    online: OnlineRecipe
    offline: OfflineSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecipe:
    """Everything that a fleet needs."""

    fleet: str
    embed: EmbedRecipe
    kafka: KafkaSettings
    topic_id: str
    cluster_id: str
    partitions: tuple[Partition, ...]
    replicas: int
    standbys: int
    min_replicas: int
    max_replicas: int
    """0 where the size is set by hand."""
    catch_up_s: float
    scale_up_s: float
    scale_down_s: float
    look_for_partitions_s: float
    num_cpus: float
    num_gpus: float
    heartbeat_timeout_s: float
    drain_timeout_s: float


def apply_artifact(settings: Settings, *, promote: bool = False) -> tuple[str, ...]:
    """Register the artifact's space with Feast; return what is registered now. Needs no broker.

    The first space of a name is served to its readers at once, a later one only with `promote`.
    """
    manifest = read_manifest(settings.model.artifact)
    view = manifest.view()
    register(settings.feast.repo, view, settings.offline.path.absolute() / view.space, promote=promote)
    return apply(settings.feast)


def embed_recipe(settings: Settings) -> EmbedRecipe:
    """Look everything up that embedding needs. Raises `Refused` where something is missing or damaged."""
    manifest = read_manifest(settings.model.artifact)
    read_weights(settings.model.artifact, manifest)  # hashed here, so that no replica is the first to find damage
    if settings.model.run_compiled:
        read_compiled(settings.model.artifact, manifest)
    refuse_foreign_code(manifest.model, settings.model.code)
    return EmbedRecipe(
        model=settings.model.model_copy(update={"artifact": settings.model.artifact.absolute()}),
        manifest=manifest,
        online=online_recipe(settings.feast, manifest.view().view),
        offline=settings.offline.model_copy(update={"path": settings.offline.path.absolute()}),
    )


def stream_recipe(settings: Settings) -> StreamRecipe:
    """Look everything up that a fleet needs. Raises `Refused` where something is missing, before anything starts."""
    embed = embed_recipe(settings)
    require_format(settings.kafka)
    topic = describe_topic(settings.kafka)
    refuse_live_group(settings.kafka)
    ensure_dead_letters(settings.kafka)
    check_online(embed.online)
    return StreamRecipe(
        fleet=settings.fleet.name,
        embed=embed,
        kafka=settings.kafka,
        topic_id=topic.topic_id,
        cluster_id=topic.cluster_id,
        partitions=tuple(Partition(topic.name, index) for index in range(topic.partitions)),
        replicas=settings.fleet.replicas,
        standbys=settings.fleet.standbys,
        min_replicas=settings.fleet.min_replicas,
        max_replicas=settings.fleet.max_replicas,
        catch_up_s=settings.fleet.catch_up_seconds,
        scale_up_s=settings.fleet.scale_up_seconds,
        scale_down_s=settings.fleet.scale_down_seconds,
        look_for_partitions_s=settings.fleet.look_for_partitions_seconds,
        # A Ray of our own has nobody to share with, and counting its CPUs would only keep a fleet from growing.
        num_cpus=0.0 if settings.fleet.address == "local" else settings.fleet.num_cpus,
        num_gpus=settings.fleet.num_gpus,
        heartbeat_timeout_s=settings.fleet.heartbeat_timeout_seconds,
        drain_timeout_s=settings.fleet.drain_timeout_seconds,
    )


def open_embed(recipe: EmbedRecipe) -> Embed:
    """Load the model in this process."""
    # Torch and pytorch-forecasting cost seconds and are needed only where windows are embedded.
    from workers.artifact.load import load  # noqa: PLC0415

    model = recipe.model
    return load(
        model.artifact,
        device=model.device,
        threads=model.threads,
        code=model.code,
        run_compiled=model.run_compiled,
    ).embed


def open_online(recipe: OnlineRecipe) -> OnlineSink:
    """Connect to the online store that Feast's configuration names."""
    if recipe.type == "redis":
        return RedisOnline(options=recipe.options, project=recipe.project, view=recipe.view)
    if recipe.type == "sqlite":
        return SqliteOnline(path=Path(recipe.options["path"]), project=recipe.project, view=recipe.view)
    return FeastOnline(config=recipe.config, repo=recipe.repo, definition=recipe.definition)


def check_online(recipe: OnlineRecipe) -> None:
    """Raise `Unavailable` or `Refused` where the online store cannot be written now."""
    sink = open_online(recipe)
    try:
        sink.check()
    finally:
        sink.close()


def open_stream(recipe: StreamRecipe, give_up: Callable[[], bool]) -> Stream:
    """Build one replica's stream in this process."""
    embed = recipe.embed
    view, contract = embed.manifest.view(), embed.manifest.contract
    offline = FileOfflineLog(
        embed.offline.path,
        view,
        cluster_id=recipe.cluster_id,
        topic_id=recipe.topic_id,
        writer=f"{socket.gethostname()}:{os.getpid()}",
        clock=time.time,
    )
    return Stream(
        source=KafkaSource(recipe.kafka, open_decode(recipe.kafka, contract)),
        embed=open_embed(embed),
        online=open_online(embed.online),
        offline=offline if embed.offline.enabled else None,
        dead_letters=KafkaDeadLetters(recipe.kafka),
        limits=Limits(checkpoint_s=embed.offline.checkpoint_seconds, checkpoint_rows=embed.offline.checkpoint_rows),
        give_up=give_up,
    )

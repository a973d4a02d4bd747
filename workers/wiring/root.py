"""The one composition root: from settings to recipes, and from recipes to running parts.

In: settings, read once on the driver. Out: recipes (frozen plain data that travel to other processes), and in those
processes the parts built from them. Every fault that can be found before anything starts is reported here, in one line.
"""

import os
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from undertow.adapters.kafka_admin import describe_topic, ensure_dead_letters, refuse_live_group, require_topic_codec
from undertow.adapters.kafka_dead_letters import KafkaDeadLetters
from undertow.adapters.offline_chains import require_whole
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import view_folder
from undertow.core.embedding import Embed
from undertow.core.errors import Refused
from undertow.schemas.records import Partition
from undertow.settings.artifact_paths import only
from undertow.settings.sections import FleetSettings, KafkaSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings
from undertow.stream.checkpoint import Limits
from undertow.stream.events import Listener
from undertow.stream.loop import Stream
from undertow.stream.quarantine_reader import QuarantineReader, Turn
from undertow.telemetry.listeners import ListenerRecipe, listener_recipe
from undertow.wiring.formats import require_format
from undertow.wiring.known_topic import require_known_topic
from undertow.wiring.observed_source import SourceRecipe, describe_content, open_source
from undertow.wiring.recipes import EmbedRecipe, embed_recipes, with_log
from undertow.wiring.restoring import RestoredOnline, Restorer, RestoreSource
from undertow.wiring.stores import check_online, open_online, open_tallied


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecipe:
    """Everything that a fleet needs."""

    fleet: FleetSettings
    artifacts: tuple[EmbedRecipe, ...]
    """The artifacts it serves, each by a stream of its own in every replica."""
    kafka: KafkaSettings
    windows: WindowsSettings
    """How windows are made, if records hold observations."""
    topic_id: str
    cluster_id: str
    partitions: tuple[Partition, ...]
    tell: ListenerRecipe


def group_settings(kafka: KafkaSettings, views: Collection[str]) -> tuple[KafkaSettings, ...]:
    """Return the Kafka settings of each view's stream, which differ in the group that it commits to.

    A single artifact commits to `kafka.group`; each of several to a group of its own, since their progress differs.
    Group names derive from the views, so that no artifact gets another's offsets, whatever their order in the setting.
    """
    if len(views) == 1:
        return (kafka,)
    return tuple(kafka.model_copy(update={"group": f"{kafka.group}.{view}"}) for view in views)


def stream_recipe(settings: Settings) -> StreamRecipe:
    """Look up everything that a fleet needs. Raises `Refused` where something is missing, before anything starts."""
    artifacts = embed_recipes(settings)
    if len(artifacts) > 1 and not settings.offline.enabled:
        message = (
            "several artifacts (model.artifact) need the offline log (offline.enabled = true), which records how far "
            "each has come: the committed offset alone does not tell for whom it was committed"
        )
        raise Refused(message)
    require_format(settings.kafka)
    for artifact in artifacts:
        describe_content(settings, artifact.manifest.contract)
        if settings.kafka.content == "observations":
            require_known_topic(settings, artifact.manifest.contract)
    topic = describe_topic(settings.kafka)
    for kafka in group_settings(settings.kafka, [one.manifest.view().view for one in artifacts]):
        refuse_live_group(kafka)
    require_topic_codec(settings.kafka)
    ensure_dead_letters(settings.kafka)
    for artifact in artifacts:
        check_online(artifact.online)
    if settings.offline.enabled:
        artifacts = tuple(with_log(settings, artifact) for artifact in artifacts)
        for artifact in artifacts:
            require_whole(view_folder(artifact.offline.path, artifact.manifest.view()))
    return StreamRecipe(
        fleet=_fleet_settings(settings.fleet),
        artifacts=artifacts,
        kafka=settings.kafka,
        windows=settings.windows.in_any_folder(),
        topic_id=topic.topic_id,
        cluster_id=topic.cluster_id,
        partitions=tuple(Partition(topic.name, index) for index in range(topic.partitions)),
        tell=listener_recipe(settings),
    )


def _fleet_settings(fleet: FleetSettings) -> FleetSettings:
    """Return the settings for a fleet's actors: a Ray of our own is shared with nobody, so no CPU is reserved there."""
    return fleet.model_copy(update={"num_cpus": 0.0}) if fleet.address == "local" else fleet


def open_embed(recipe: EmbedRecipe) -> Embed:
    """Load the model in this process."""
    # Importing torch and pytorch-forecasting takes seconds, and only embedding needs them.
    from undertow.artifact.load.loader import load  # noqa: PLC0415

    model = recipe.model
    return load(
        only(model.artifacts),
        device=model.device,
        threads=model.threads,
        code=model.code,
        run_compiled=model.run_compiled,
    ).embed


def open_restorer(embed: EmbedRecipe, tell: Listener) -> Restorer:
    """Return the restorer of the artifact's online store."""
    view, history = embed.manifest.view(), None
    if embed.log is not None:
        history = RestoreSource(
            log=view_folder(embed.log.root, view),
            view=view,
            read_memory_bytes=embed.offline.read_memory_bytes,
            keep_s=int(embed.online.options.get("key_ttl_seconds") or 0),
        )
    return Restorer(history, partial(open_tallied, embed.online), tell=tell)


def open_stream(
    recipe: StreamRecipe,
    give_up: Callable[[], bool],
    index: int = 0,
    tell: Listener = lambda _event: None,
    turn: Turn | None = None,
) -> Stream:
    """Build one replica's stream of one artifact in this process; all its streams share the `turn`."""
    embed = recipe.artifacts[index]
    kafka = group_settings(recipe.kafka, [one.manifest.view().view for one in recipe.artifacts])[index]
    view = embed.manifest.view()
    restorer = open_restorer(embed, tell)
    offline = open_log(recipe, embed)  # first: a node without access to the log fails before it loads a model
    topic = SourceRecipe(kafka=kafka, windows=recipe.windows, topic_id=recipe.topic_id, cluster_id=recipe.cluster_id)
    source, observed = open_source(topic, embed, tell, give_up, offline)
    return Stream(
        offline=offline,
        source=source,
        embed=open_embed(embed),
        online=RestoredOnline(open_online(embed.online, restorer.noticed), restorer),
        dead_letters=KafkaDeadLetters(kafka, refused_by={"artifact": view.name, "space": view.space}),
        limits=Limits(
            checkpoint_seconds=embed.offline.checkpoint_seconds,
            checkpoint_rows=embed.offline.checkpoint_rows,
            checkpoint_bytes=embed.offline.checkpoint_bytes,
        ),
        give_up=give_up,
        tell=tell,
        quarantine=QuarantineReader(view.view, turn),
        take_loss=restorer.take,
        observed=observed,
    )


def open_log(recipe: StreamRecipe, embed: EmbedRecipe) -> FileOfflineLog | None:
    """Open the chains of one artifact; None without an offline log. Raises `Refused` where this node lacks the log."""
    if embed.log is None:
        return None
    embed.log.require()
    return FileOfflineLog(
        embed.log.root,
        embed.manifest.view(),
        cluster_id=recipe.cluster_id,
        topic_id=recipe.topic_id,
        writer=f"{socket.gethostname()}:{os.getpid()}",
        clock=time.time,
    )


def stream_openers(
    recipe: StreamRecipe, new_tell: Callable[[], Listener]
) -> dict[str, Callable[[Callable[[], bool]], Stream]]:
    """Return the stream factory of each artifact, by the name of its view."""
    turn = Turn()
    return {
        artifact.manifest.view().view: partial(open_stream, recipe, index=index, tell=new_tell(), turn=turn)
        for index, artifact in enumerate(recipe.artifacts)
    }

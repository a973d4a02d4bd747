"""The product as the benchmark sets it up.

In: `Given`. Out: its settings, an artifact packed from the benchmark's checkpoint, its Feast repository. Knows no case.
"""

import os
import shutil
from pathlib import Path

from case import Given
from data import arrow_encoded, encoded, fill
from feast import FeatureStore
from model import TAP
from stages import Stages

from undertow.adapters.kafka_source import KafkaSource
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.online_redis import RedisOnline
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.pack.packer import pack
from undertow.core import embedder
from undertow.core.taps import Taps
from undertow.schemas.contract import InputContract
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.sections import FeastSettings, FleetSettings, KafkaSettings, ModelSettings
from undertow.settings.settings import Settings
from undertow.wiring import formats
from undertow.wiring.stores import apply_artifact

REPOSITORY = Path(__file__).parents[2] / "feature_repo"
CONFIG = "feature_store.redis.yaml"
NAME, FEATURE = "bench", "hidden"
FORWARD = "forward"


def settings_of(given: Given, *, topic: str) -> Settings:
    """Return the settings of one run: defaults, but what it measures, and a group, a history and a fleet of its own."""
    os.environ["UNDERTOW_REDIS"] = given.redis  # its Feast configuration names it so
    return Settings(
        kafka=KafkaSettings(bootstrap=given.kafka, topic=topic, group=given.run, format=given.format),
        model=ModelSettings(artifact=given.path / "artifact", device="cpu", run_compiled=given.is_compiled),
        feast=FeastSettings(repo=given.path / "feature_repo", config=CONFIG),
        offline=OfflineSettings(path=given.path / "offline" / given.run),
        fleet=FleetSettings(name=given.run, replicas=given.replicas),
    )


def prepare(given: Given) -> None:
    """Pack the checkpoint, with native code if `given` asks for it, and register its view, away from the tree."""
    settings = settings_of(given, topic=given.topic)
    shutil.copytree(REPOSITORY, settings.feast.repo, ignore=shutil.ignore_patterns("data", "*.json", "__pycache__"))
    pack(
        given.path / "model.ckpt",
        settings.model.artifact,
        name=NAME,
        taps={FEATURE: f"{TAP}:last"},
        trust=True,
        is_compiled=given.is_compiled,
    )
    apply_artifact(settings)


def begin_history(given: Given) -> None:
    """Apply the artifact with the offline log of this run, which is its own: a loop begins where its log ends."""
    apply_artifact(settings_of(given, topic=given.topic))


def contract_of(given: Given) -> InputContract:
    """Return what windows must hold."""
    return read_manifest(given.path / "artifact").contract


def fill_topic(given: Given, topic: str) -> None:
    """Write the first windows to the topic, in the format of the run."""
    is_json = given.format == "json"
    records = list(encoded(0, given.count) if is_json else arrow_encoded(0, given.count, contract_of(given)))
    fill(given.kafka, topic, records, given.partitions, is_keyed=is_json)


def count_stages() -> Stages:
    """Return a counter of the stages of a replica's loop; to be called before the loop is built."""
    stages = Stages()
    for name in ("decode_json", "decode_arrow"):
        stages.count("decode", formats, name)
    stages.count("poll: Kafka's client, records", KafkaSource, "poll")
    stages.count("inputs", embedder, "build_inputs")
    stages.count(FORWARD, Taps, "run")
    stages.count("embed: pooling, checks", embedder.Embedder, "embed")
    stages.count("online write", RedisOnline, "write")
    stages.count("checkpoint: Parquet, fsync", FileOfflineLog, "publish")
    stages.count("checkpoint: commit", KafkaSource, "commit")
    return stages


def feature_of(given: Given) -> str:
    """Return `view:name` of what the artifact publishes."""
    return f"{read_manifest(given.path / 'artifact').view().view}:{FEATURE}"


def open_store(given: Given) -> FeatureStore:
    """Open the repository as any stock Feast reader does."""
    return FeatureStore(fs_yaml_file=given.path / "feature_repo" / CONFIG, repo_path=given.path / "feature_repo")

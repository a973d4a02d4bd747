"""The product as the benchmark sets it up.

In: `Given`. Out: its settings, an artifact packed from the benchmark's checkpoint, its Feast repository. Knows no case.
"""

import os
import shutil
from pathlib import Path

from case import Given
from feast import FeatureStore
from model import TAP

from workers.artifact.manifest import read_manifest
from workers.artifact.pack import pack
from workers.settings import FeastSettings, FleetSettings, KafkaSettings, ModelSettings, OfflineSettings, Settings
from workers.wiring import apply_artifact

REPOSITORY = Path(__file__).parents[2] / "feature_repo"
CONFIG = "feature_store.redis.yaml"
NAME, FEATURE = "bench", "hidden"
REPLICAS = 2


def settings_of(given: Given, *, topic: str) -> Settings:
    """Return the settings of one run: all defaults, but a group, a history and a fleet of its own."""
    os.environ["UNDERTOW_REDIS"] = given.redis  # its Feast configuration names it so
    return Settings(
        kafka=KafkaSettings(bootstrap=given.kafka, topic=topic, group=given.run),
        model=ModelSettings(artifact=given.path / "artifact", device="cpu"),
        feast=FeastSettings(repo=given.path / "feature_repo", config=CONFIG),
        offline=OfflineSettings(path=given.path / "offline" / given.run),
        fleet=FleetSettings(name=given.run, replicas=REPLICAS),
    )


def prepare(given: Given) -> None:
    """Pack the checkpoint and register its view, in copies that leave the working tree alone."""
    settings = settings_of(given, topic=given.topic)
    shutil.copytree(REPOSITORY, settings.feast.repo, ignore=shutil.ignore_patterns("data", "*.json", "__pycache__"))
    pack(given.path / "model.ckpt", settings.model.artifact, name=NAME, taps={FEATURE: f"{TAP}:last"}, trust=True)
    apply_artifact(settings)


def feature_of(given: Given) -> str:
    """Return `view:name` of what the artifact publishes."""
    return f"{read_manifest(given.path / 'artifact').view().view}:{FEATURE}"


def open_store(given: Given) -> FeatureStore:
    """Open the repository as any stock Feast reader does."""
    return FeatureStore(fs_yaml_file=given.path / "feature_repo" / CONFIG, repo_path=given.path / "feature_repo")

"""What the demonstration has of its own, so that it touches nothing of the user's: a Feast repository and settings.

In: the user's repository, where servers answer. Out: a copy of its definitions, and `Settings`. Knows no model.
"""

import shutil
from pathlib import Path

from undertow.core.errors import Refused
from undertow.core.private_files import make_folder
from undertow.demo.watch import EVERY, STRIDE
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.sections import BackfillSettings, FeastSettings, FleetSettings, KafkaSettings, ModelSettings
from undertow.settings.settings import Settings
from undertow.settings.windows_section import WindowsSettings

REDIS_CONFIG, VARIABLE = "feature_store.redis.yaml", "${UNDERTOW_REDIS}"


def require_repo(source: Path) -> None:
    """Raise `Refused` where there is nothing that the demo could copy."""
    if not (source / REDIS_CONFIG).is_file():
        message = (
            f"the demo copies Undertow's Feast repository, expected at {source.absolute()} (setting feast.repo), but "
            f"there is no {REDIS_CONFIG}: run the demo in a checkout of Undertow, or set feast.repo"
        )
        raise Refused(message)


def copy_repo(source: Path, target: Path, redis: str) -> None:
    """Copy the definitions without what was registered, and let their look-ups go to this Redis."""
    make_folder(target / "spaces")
    for definition in source.glob("*.py"):
        shutil.copy(definition, target)
    config = (source / REDIS_CONFIG).read_text("utf-8")
    (target / "feature_store.yaml").write_text(config.replace(VARIABLE, redis), "utf-8")


def own_settings(folder: Path, *, artifact: Path, bootstrap: str, topic: str) -> Settings:
    """Return settings of which every section is given here: no file or variable of the user's goes into them."""
    return Settings(
        kafka=KafkaSettings(bootstrap=bootstrap, topic=topic, content="observations"),
        windows=WindowsSettings(every=EVERY, stride=STRIDE),
        model=ModelSettings(artifact=artifact, device="cpu"),
        feast=FeastSettings(repo=folder / "feature_repo"),
        offline=OfflineSettings(path=folder / "offline", checkpoint_seconds=1.0),
        fleet=FleetSettings(name="undertow-demo", replicas=2, num_cpus=1.0),
        backfill=BackfillSettings(chunk_rows=1_000, replicas=1),
        log_level="INFO",
    )

"""One project for all pages: each goes on where the one before it has come to, as the manual's reader does."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.follow import Reader

ROOT = Path(__file__).parents[2]
STORY = (
    "how-to/own-model.md",
    "how-to/backfill.md",
    "explanation/exactness.md",
    "how-to/own-data.md",
    "how-to/observations.md",
    "how-to/replay.md",
    "how-to/read-from-another-model.md",
    "how-to/search-in-postgres.md",
    "how-to/retrain.md",
    "how-to/secure.md",
    "how-to/cluster.md",
)
"""Pages with something to run, in the order in which they build on each other. The first makes the project."""


@pytest.fixture(scope="package")
def project(kafka_bootstrap, redis_address, postgres, tmp_path_factory):
    """The folder in which the manual is followed, and the environment of its owner."""
    folder = tmp_path_factory.mktemp("manual") / "pumps"
    folder.mkdir()
    ray = tempfile.mkdtemp(prefix="ray-")  # not under tmp_path: a socket's path may have 107 characters
    ours = {
        "UNDERTOW_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "UNDERTOW_REDIS": redis_address,
        **postgres.variables(),
        "UNDERTOW_FLEET__NAME": "manual",
        "UNDERTOW_FLEET__REPLICAS": "1",
        "UNDERTOW_BACKFILL__REPLICAS": "1",
        "RAY_TMPDIR": ray,
        "RAY_AUTH_MODE": "disabled",  # else Ray writes a token into the developer's home
        "RAY_USAGE_STATS_ENABLED": "0",
        "COLUMNS": "80",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("UNDERTOW_", "RAY_"))}
    yield folder, {**inherited, **ours}
    shutil.rmtree(ray, ignore_errors=True)


@pytest.fixture(scope="package")
def follow(project):
    """Follow all pages up to this one, each once; return the project."""
    followed = set()

    def follow_to(page):
        for one in STORY[: STORY.index(page) + 1]:
            if one not in followed:
                Reader(*project).follow(ROOT / "docs" / one)
                followed.add(one)
        return project

    return follow_to

"""One project for all pages: each goes on where the one before it has come to, as the manual's reader does."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.follow import Reader


@pytest.fixture(scope="module")
def project(kafka_bootstrap, redis_address, tmp_path_factory):
    """The folder that `undertow init pumps` makes, and the environment of its owner."""
    folder = tmp_path_factory.mktemp("manual") / "pumps"
    folder.mkdir()
    ray = tempfile.mkdtemp(prefix="ray-")  # not under tmp_path: a socket's path may have 107 characters
    ours = {
        "UNDERTOW_KAFKA__BOOTSTRAP": kafka_bootstrap,
        "UNDERTOW_FLEET__NAME": "manual",
        "UNDERTOW_FLEET__REPLICAS": "1",
        "UNDERTOW_BACKFILL__REPLICAS": "1",
        "UNDERTOW_REDIS": redis_address,
        "RAY_TMPDIR": ray,
        "RAY_AUTH_MODE": "disabled",  # else Ray writes a token into the developer's home
        "RAY_USAGE_STATS_ENABLED": "0",
        "COLUMNS": "80",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("UNDERTOW_", "RAY_"))}
    yield folder, {**inherited, **ours}
    shutil.rmtree(ray, ignore_errors=True)


@pytest.fixture
def reader(project):
    """A reader who has come to the page's beginning."""
    return Reader(*project)

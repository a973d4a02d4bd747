"""A copy of the repository, and Feast's own commands on it."""

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from feast.cli.cli import cli

REPO = Path(__file__).parents[2] / "feature_repo"
MODULES = ("embedding_views", "registry_lock")


def copy_of_repo(folder):
    """A copy without anything that was registered or applied here."""
    ignored = shutil.ignore_patterns("data", "*.json", "__pycache__")
    return shutil.copytree(REPO, folder / "feature_repo", ignore=ignored)


def run_feast(*arguments):
    """Run the stock command in this process, which has paid for the import, and undo what it does to a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path.cwd())
        patch.setattr(sys, "path", sys.path.copy())
        for module in MODULES:
            patch.delitem(sys.modules, module, raising=False)
        done = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
        for module in MODULES:
            sys.modules.pop(module, None)
    assert done.exit_code == 0, done.output
    return done.output

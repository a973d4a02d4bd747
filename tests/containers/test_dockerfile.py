"""deploy/Dockerfile beside what it builds from: where no engine is, a build that must fail is told all the same."""

import json
import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from packaging.specifiers import SpecifierSet

from undertow.settings.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD, IMAGE = re.split(r"^FROM ", DOCKERFILE.replace("\\\n", " "), flags=re.MULTILINE)[1:]


def copied(stage):
    """What a stage takes from the build context."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", stage, re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def given_away():
    """The folders that belong to the user who runs the commands."""
    (folders,) = re.findall(r"chown -R undertow (.+)$", IMAGE, re.MULTILINE)
    return set(folders.split())


def test_all_that_is_copied_is_there_and_not_left_out_of_the_context():
    left_out = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    for source in copied(BUILD) | copied(IMAGE):
        assert (ROOT / source).exists()
        assert source not in left_out


def test_the_build_has_every_file_and_folder_that_the_package_is_built_from():
    about = PROJECT["project"]
    folders = set(PROJECT["tool"]["setuptools"]["package-dir"].values())
    assert {"pyproject.toml", about["readme"], *about["license-files"], *folders} <= copied(BUILD)


def test_what_is_installed_is_an_extra_of_the_package_at_the_versions_of_the_constraints():
    (extras,) = re.findall(r"pip install .*--constraint /tmp/versions.txt '\.\[(.+)\]'", BUILD)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    assert "constraints.txt > /tmp/versions.txt" in BUILD


def test_both_stages_have_one_python_which_the_package_takes():
    (python,) = set(re.findall(r"^FROM python:(\S+)-slim", DOCKERFILE, re.MULTILINE))
    assert python in SpecifierSet(PROJECT["project"]["requires-python"])


@pytest.mark.usefixtures("here")
def test_the_image_runs_as_a_user_who_can_change_nothing_but_what_lies_on_volumes():
    assert re.search(r"^USER undertow$", IMAGE, re.MULTILINE)
    page = (ROOT / "deploy/OPERATIONS.md").read_text().partition("## In containers")[2].partition("\n## ")[0]
    assert given_away() == set(re.findall(r"^\| `(/app/.+?)` \|", page, re.MULTILINE))
    settings = Settings()
    app = PurePosixPath("/app")
    kept = {settings.feast.repo / "data", settings.feast.repo / "spaces", settings.offline.path.parent}
    assert given_away() == {str(app / path) for path in kept}
    assert set(re.findall(r"mkdir -p (.+?) +&&", IMAGE)[0].split()) == given_away()


@pytest.mark.parametrize("line", re.findall(r"^(?:ENTRYPOINT|CMD) (.+)$", IMAGE, re.MULTILINE))
def test_what_the_image_runs_is_given_as_a_list_so_that_signals_reach_it(line):
    assert isinstance(json.loads(line), list)

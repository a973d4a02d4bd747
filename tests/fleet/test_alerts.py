"""The rules of deploy/alerts.yml, played by Prometheus' own promtool, and what they say of where to look."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from undertow.fleet.metrics import DEFINITIONS

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
RULES = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
SEVERITIES = {"critical", "warning"}
HOW_TO = "promtool is not here and could not be had: apt-get install prometheus, or put Prometheus' own on the PATH"


@pytest.fixture(scope="session")
def promtool() -> Path:
    """What is on the PATH, else that of Debian's package, kept in the user's cache: 19 MB to fetch, without root."""
    if there := shutil.which("promtool"):
        return Path(there)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow"
    kept = cache / "promtool"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                fetch(Path(folder)).rename(kept)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{HOW_TO} ({error})")
    return kept


def fetch(folder: Path) -> Path:
    """Download Debian's package into the folder and take it apart there."""

    def do(*command, check=True):
        return subprocess.run(command, cwd=folder, capture_output=True, check=check, timeout=120).returncode

    download = ("apt-get", "--option", "APT::Sandbox::User=", "download", "prometheus")
    if do(*download, check=False):
        do("apt-get", "update")  # the lists of packages may be missing, as in a fresh container; this takes root
        do(*download)
    (package,) = folder.glob("prometheus_*.deb")
    do("dpkg-deb", "--extract", package, folder)
    return folder / "usr/bin/promtool"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules(promtool):
    run(promtool, "check", "rules", DEPLOY / "alerts.yml")


def test_each_rule_fires_where_it_should_and_not_where_it_should_not(promtool):
    run(promtool, "test", "rules", HERE / "alerts.yml")


def test_each_rule_is_played_where_it_fires():
    stories = yaml.safe_load((HERE / "alerts.yml").read_text())["tests"]
    fires = {check["alertname"] for story in stories for check in story["alert_rule_test"] if check["exp_alerts"]}
    assert fires == {rule["alert"] for rule in RULES}


def test_rules_and_their_stories_ask_only_for_metrics_and_labels_that_are_shown():
    labels = {f"ray_{one.in_ray}": {*one.labels, "WorkerId"} for one in DEFINITIONS}  # Ray adds its worker's id
    asked = set(re.findall(r"ray_\w+", " ".join(rule["expr"] for rule in RULES)))
    assert asked <= labels.keys()
    stories = yaml.safe_load((HERE / "alerts.yml").read_text())["tests"]
    for series in (one["series"] for story in stories for one in story["input_series"]):
        name, said = re.fullmatch(r"(\w+)\{(.*)\}", series).groups()
        assert set(re.findall(r"(\w+)=", said)) <= labels[name], series
    for rule in RULES:
        grouped = {label.strip() for found in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in found.split(",")}
        assert grouped <= set().union(*(labels[name] for name in re.findall(r"ray_\w+", rule["expr"])))


def test_each_rule_has_a_severity_and_leads_to_a_heading_that_is_there():
    page = (DEPLOY / "OPERATIONS.md").read_text()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in RULES:
        assert rule["labels"]["severity"] in SEVERITIES
        file, anchor = rule["annotations"]["runbook_url"].split("#")
        assert (file, anchor) == ("OPERATIONS.md", rule["alert"].lower())
        assert anchor in anchors
    assert len({rule["alert"] for rule in RULES}) == len(RULES)

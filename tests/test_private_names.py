"""Private names of other packages: listed in one place, and there in what is installed and in the newest allowed."""

import ast
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.private_names import NAMES, missing
from undertow.ray_session import internals as ray_internals

ROOT = Path(__file__).parent.parent
OWN = {"os"}  # os._exit is documented
UNDERLINED = re.compile(r"_[a-z]\w*")
INTERNAL = ("kafka.net", "kafka.consumer", "kafka.coordinator", "kafka.protocol", "kafka.record", "kafka.partitioner")
"""kafka-python documents none of these, though their names do not say so."""


def used():
    """Yield the private modules that are imported, and the private attributes of what is not `self`, with the file."""
    for path in sorted(file for room in ("workers", "schemas", "feature_repo") for file in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("undertow"):
                parts = [*node.module.split("."), *(alias.name for alias in node.names)]
                if any(map(UNDERLINED.fullmatch, parts)) or node.module.startswith(INTERNAL):
                    yield path, f"{node.module}:{node.names[0].name}"
            elif isinstance(node, ast.Attribute) and UNDERLINED.fullmatch(node.attr):
                owner = ast.unparse(node.value)
                if owner not in {"self", "cls", *OWN} and not owner.startswith("super()"):
                    yield path, node.attr


def test_every_private_name_that_is_used_is_listed():
    listed = " ".join(name for names in NAMES.values() for name in names)
    words = set(re.split(r"[.:/ ]", listed)) | {"_logs", "_store"}  # our own, of a copy and of another broker
    unlisted = [(path.name, name) for path, name in used() if name.replace(":", ".").rpartition(".")[2] not in words]
    assert unlisted == []


@pytest.mark.parametrize("distribution", NAMES)
def test_every_private_name_is_there(distribution):
    assert missing(distribution) == []


def test_a_name_that_is_gone_is_noticed(monkeypatch):
    gone = ("kafka.net.manager:KafkaConnectionManager/self._wires", "kafka.net.compat:Gone", "kafka.gone:Gone")
    monkeypatch.setitem(NAMES, "kafka-python", (*NAMES["kafka-python"], *gone))
    assert missing("kafka-python") == [*gone]


def range_of(distribution):
    """The line of pyproject.toml, without its extras."""
    found = re.search(rf'"{distribution}(?:\[[^]]*\])?([^"]*)"', (ROOT / "pyproject.toml").read_text())
    return f"{distribution}{found[1]}"


@pytest.mark.parametrize("distribution", ["ray", "kafka-python"])
def test_the_newest_release_that_pyproject_allows_has_every_private_name(distribution, tmp_path):
    assert re.search(r"<\d+\.\d+$", range_of(distribution)), "the next minor release may be without them"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--quiet", "--target", str(tmp_path)]
    done = subprocess.run([*uv, "--dry-run", range_of(distribution)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no registry tells which is the newest: {done.stderr.strip().splitlines()[-1:]}")
    done = subprocess.run([*uv, range_of(distribution)], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    look = [sys.executable, str(ROOT / "tests/private_names.py"), distribution]
    found = subprocess.run(look, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, f"{range_of(distribution)} no longer has: {found.stdout}{found.stderr}"


def test_a_release_of_ray_without_them_costs_what_they_did_and_says_so(monkeypatch, caplog):
    for module in ("ray._private.state", "ray._private.authentication", "ray._private.services"):
        monkeypatch.setitem(sys.modules, module, None)
    assert ray_internals.draining_nodes() is None
    with caplog.at_level(logging.WARNING):
        ray_internals.show_token()
        monkeypatch.delattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER")
        with ray_internals.on_loopback():
            pass
    assert "RAY_AUTH_MODE=token" in caplog.text
    assert "cannot be told to listen on 127.0.0.1 alone" in caplog.text
    assert ray_internals.found_ray() == "auto"


def test_make_takes_the_pythons_that_the_package_takes():
    (check,) = re.findall(r"@\$\(PYTHON\) -c '(.*)'$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    low, high = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text()).groups()
    for minor in range(8, 20):
        program = f"import sys; sys.version_info = (3, {minor}, 0, 'final', 0); {check}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (int(low) <= minor < int(high)), minor
        assert done.stderr.count("\n") == (done.returncode != 0)

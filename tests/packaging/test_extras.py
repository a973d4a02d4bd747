"""What is asked for without its packages is refused in one line that installs them; what needs none works without."""

import ast
import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from packaging.utils import canonicalize_name

from tests.packaging.part import PYPROJECT, distributions
from undertow.cli.main import main
from undertow.commands.init import make_project
from undertow.core.errors import Refused
from undertow.core.extras import PACKAGES, explain, require_extras
from undertow.settings.sections import KafkaSettings
from undertow.wiring.formats import require_format

ROOT = Path(__file__).parents[2]
WORKS_ALONE = {
    "init": ["project"],
    "settings": ["kafka.topic"],
    "taps": ["forecaster.toml"],
    "pack": ["forecaster.toml", "--name", "pumps", "--tap", "rnn#0[0]:last"],
    "describe": [],
}
"""Commands that the core suffices for, with their arguments, in this order."""
NEEDS = {
    "demo": ("demo", []),
    "up": ("local", []),
    "down": ("local", []),
    "check": ("kafka,feast", []),
    "apply": ("feast", []),
    "run": ("fleet", []),
    "status": ("fleet", []),
    "scale": ("fleet", ["2"]),
    "drain": ("fleet", []),
    "backfill": ("fleet", ["windows.parquet"]),
    "produce": ("kafka", ["windows.parquet"]),
    "get": ("feast", ["pumps", "site=a"]),
    "replay": ("kafka", []),
    "join": ("feast", ["windows.parquet", "-o", "joined.parquet"]),
    "series": ("feast", []),
    "neighbours": ("feast", ["watch", "wearer=s08"]),
    "rebuild": ("feast", []),
    "maintain": ("feast", []),
    "forget": ("feast", ["watch", "--series", "wearer=s08", "--yes"]),
    "view": ("view", ["windows.parquet"]),
}
"""Commands that need extras, which, and their arguments."""
STARTS_SERVERS = {"demo", "up"}
IS_LONG = settings.default.max_examples > 1_000
"""Whether this is `make test-long`. Else one set is tried here: most are used from the wheel, next door."""
SETS = sorted({extras for extras, _ in NEEDS.values()} - {"demo"}) if IS_LONG else ["kafka,feast"]


def run_with(extras, commands, folder):
    """Run commands in a process that has the core and these extras; return exit codes and outputs."""
    program = [sys.executable, str(Path(__file__).with_name("part.py")), extras]
    done = subprocess.run(
        program, input=json.dumps(commands), cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What `undertow init` makes, with weights as they were drawn, and two empty files."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    names = {}
    exec((folder / "forecaster.py").read_text(), names)  # noqa: S102 our own text
    torch.save(names["Forecaster"]().state_dict(), folder / "forecaster.pt")
    for name in ("model.ckpt", "windows.parquet"):
        (folder / name).write_bytes(b"")
    return folder


def test_each_command_stands_in_one_of_the_two_tables():
    assert {*WORKS_ALONE, *NEEDS} == set(main.commands)


def test_without_any_extra_a_command_works_or_names_what_installs_its_packages(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(project))
    commands = [[name, *arguments] for name, arguments in WORKS_ALONE.items()]
    needing = [[name, *arguments] for name, (_, arguments) in NEEDS.items()]
    pack = ["pack", "model.ckpt", "--trust", "--name", "other", "--tap", "rnn", "--output", "other"]
    checkpoints = [["taps", "model.ckpt", "--trust"], pack]
    help_texts = [["--help"], *([name, "--help"] for name in main.commands)]
    results = run_with("", [*commands, *needing, *checkpoints, *help_texts], project)
    alone, refused = results[: len(commands)], results[len(commands) : -len(help_texts)]
    assert [code for code, _ in alone] == [0] * len(commands), alone
    assert [code for code, _ in results[-len(help_texts) :]] == [0] * len(help_texts)
    expected = [*((name, extras) for name, (extras, _) in NEEDS.items()), ("", "train"), ("", "train")]
    for (name, extras), (code, said) in zip(expected, refused, strict=True):
        assert code == 1, said
        assert said.count("\n") == 1, said
        assert said.startswith(f"error: undertow {name}: expected the package" if name else "error: "), said
        assert said.endswith(f"not installed: pip install 'undertow[{extras}]'\n"), said


@pytest.mark.slow  # imports of Feast and Ray, anew in each process
@pytest.mark.parametrize("extras", SETS)
def test_with_its_extras_alone_a_command_never_ends_in_a_failed_import(extras, tmp_path):
    (tmp_path / "windows.parquet").write_bytes(b"")
    wanted = [(name, arguments) for name, (needed, arguments) in NEEDS.items() if needed == extras]
    commands = [[name, *arguments] for name, arguments in wanted if name not in STARTS_SERVERS]
    for command, (code, said) in zip(commands, run_with(extras, commands, tmp_path), strict=True):
        assert code in {0, 1}, said
        assert "not installed" not in said, command
        assert "ModuleNotFound" not in said, (command, said)
        assert "unforeseen" not in said, (command, said)


def test_the_table_of_packages_is_what_the_extras_of_the_distribution_bring():
    brought = packages_distributions()
    assert set(PACKAGES) <= set(PYPROJECT["optional-dependencies"])
    core = distributions([])
    for extra, packages in PACKAGES.items():
        there = distributions([extra])
        for package in packages:
            owners = {canonicalize_name(owner) for owner in brought[package]}
            assert owners & there, f"{extra} brings no {package}"
            assert not owners & core, f"{package} is in the core: {extra} need not name it"


def test_every_package_that_is_imported_is_in_the_core_or_in_the_table():
    brought, core = packages_distributions(), distributions([])
    imported = {}
    for path in [*(ROOT / "workers").rglob("*.py"), *(ROOT / "schemas").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            imported |= {name.partition(".")[0]: path for name in names}
    others = {name for name in imported if name not in sys.stdlib_module_names and name != "undertow"}
    known = {package for packages in PACKAGES.values() for package in packages}
    known |= {name for name in others if {canonicalize_name(owner) for owner in brought.get(name, ())} & core}
    assert {name: str(imported[name]) for name in others - known} == {}


def test_several_extras_are_asked_for_in_one_command(monkeypatch):
    for package in ("kafka", "redis"):
        monkeypatch.setitem(sys.modules, package, None)  # Python's own way to say that a module cannot be imported
    with pytest.raises(Refused) as refusal:
        require_extras("undertow check", "kafka", "feast")
    assert str(refusal.value) == (
        "undertow check: expected the packages kafka, redis, found them not installed: "
        "pip install 'undertow[kafka,feast]'"
    )


def test_the_registry_s_client_may_bring_another_http_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)  # confluent-kafka 2.16 brings httpx2 in its place
    require_extras("undertow check", "avro")
    require_format(KafkaSettings(format="avro-confluent", registry="http://127.0.0.1:9"))


def test_only_a_package_that_an_extra_brings_and_that_is_missing_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "kafka", None)
    told = explain("undertow run", ModuleNotFoundError("No module named 'kafka.errors'", name="kafka.errors"))
    assert str(told).endswith("pip install 'undertow[kafka]'")
    assert explain("undertow run", ModuleNotFoundError(name="of_the_user")) is None
    assert explain("undertow run", ModuleNotFoundError(name="ray.gone")) is None  # Ray is there: a fault of its own
    assert explain("undertow run", ModuleNotFoundError()) is None

"""The wheel, installed with one set of extras in an environment that has nothing else, and used.

Environments are made of what uv has in its cache, which `make .venv/ready` has filled: hard links, so seconds and no
disk (symbolic links where the cache is on another file system). Versions are those of constraints.txt; what the cache
does not hold, as where `.venv` was restored without it, is fetched. All of them lie at one path, one
after another. What Python has compiled for `.venv` is theirs too: compiling it again would take most of the time.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reader.conftest import JUNE, SIMPLE, make_world

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
NOBODY = ("--set", "kafka.bootstrap=127.0.0.1:1")
EMBED = """
import json
import pyarrow.parquet as pq
import undertow

with undertow.load("artifact", code=["forecaster"]) as embedder:
    result = embedder.embed(pq.read_table("windows.parquet").slice(0, 5))
print(json.dumps([list(result["embedding"].shape), len(result.faults)]))
"""
READ = """
import asyncio, json, sys
import undertow

def say(found, near):
    vectors = found.vectors[found.found].astype(float).round(6).tolist()
    return ["s08", found.found.tolist(), vectors, near.series["wearer"]]

async def ask(place):
    async with undertow.AsyncReader(place, name="ecg") as reader:
        return say(await reader.get(["s08", "nobody"]), await reader.neighbours("s08"))

answers = []
for place in sys.argv[1:]:
    with undertow.Reader(place, name="ecg") as reader:
        answers.append(say(reader.get(["s08", "nobody"]), reader.neighbours("s08")))
    answers.append(asyncio.run(ask(place)))
heavy = {"feast", "torch", "ray", "pandas", "pydantic", "kafka"}
print(json.dumps([*answers, sorted(heavy & set(sys.modules))]))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The wheel, the pinned versions, and what Python compiles."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools leaves a build folder beside the sources
    for name in ("workers", "schemas", "feature_repo"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "data", "spaces"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ("--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    run(folder, UV, "build", *options, source)
    pins = re.sub(r"^ +--hash.*\n| *\\$", "", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    (folder / "pins.txt").write_text(pins)
    with pytest.MonkeyPatch.context() as patch:
        # Hard links keep their times, so what was compiled for `.venv` holds here: else Python compiles it again.
        patch.setenv("PYTHONPYCACHEPREFIX", str(folder / "compiled"))
        link_compiled(folder)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def project(base, tmp_path_factory):
    """What a user has made with the core alone: a trained module, windows, an artifact."""
    commands, folder = install(base), tmp_path_factory.mktemp("project")
    run(folder, commands / "undertow", "init", ".")
    run(folder, commands / "python", "train.py")
    run(folder, commands / "undertow", "pack", "forecaster.toml", "--name", "pumps", "--tap", "rnn#0[0]:last")
    return folder


def install(base, *extras):
    """Put the wheel and these extras into the environment, and nothing else; return the folder of its commands."""
    home, (wheel,) = base / "environment", base.glob("*.whl")
    run(base, UV, "venv", "--clear", "--python", sys.executable, home)
    cache = Path(run(base, UV, "cache", "dir").strip())
    link = "hardlink" if cache.exists() and cache.stat().st_dev == base.stat().st_dev else "symlink"
    options = ("--link-mode", link, "--constraint", "pins.txt", "--python", home / "bin/python")
    install = (UV, "pip", "install", *options, f"{wheel}[{','.join(extras)}]" if extras else wheel)
    if subprocess.run([*install, "--offline"], cwd=base, capture_output=True, check=False).returncode:
        run(base, *install)
    return home / "bin"


def link_compiled(base):
    """Put what this environment's modules were compiled to where the modules of `base`'s environments look for it."""
    ours = Path(sysconfig.get_path("purelib"))
    theirs = base / "compiled" / (base / "environment").relative_to("/") / ours.relative_to(sys.prefix)
    for compiled in ours.rglob("__pycache__/*.pyc"):
        place = theirs / compiled.parent.parent.relative_to(ours) / compiled.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(compiled)


def run(folder, *command, code=0, path="."):
    """Run a command in a folder, by an environment without settings; return all that it said."""
    left_out = ("UNDERTOW_", "PYTHONPATH", "VIRTUAL_ENV")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
    ours = {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**inherited, **ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def test_the_core_trains_packs_describes_and_embeds_a_plain_module(base, project):
    commands = install(base)
    library = next((base / "environment").rglob("libtorch_cpu.so"))
    assert library.is_symlink() or library.stat().st_nlink > 1, "uv has copied gigabytes"
    assert json.loads(run(project, commands / "python", "-c", EMBED).splitlines()[-1]) == [[5, 16], 0]
    said = run(project, commands / "undertow", "describe")
    assert "torch" in said
    assert "pytorch-forecasting" not in said  # it is not there, so nothing was packed with it


def test_kafka_alone_looks_for_the_broker(base, project):
    commands = install(base, "kafka")
    said = run(project, commands / "undertow", "produce", "windows.parquet", *NOBODY, code=1)
    assert "expected a Kafka broker at 127.0.0.1:1 " in said


def test_feast_alone_applies_and_looks_up(base, project):
    undertow = install(base, "feast") / "undertow"
    assert "pumps" in run(project, undertow, "apply")
    assert "has no embedding of site=a: " in run(project, undertow, "get", "pumps", "site=a", code=1)


def test_fleet_alone_has_all_that_its_actors_import_and_finds_that_none_runs(base, project):
    commands = install(base, "fleet")
    actors = "import undertow.fleet.controller_actor, undertow.fleet.replica_actor, undertow.backfill.job"
    run(project, commands / "python", "-c", actors)
    assert f"no fleet named '{project.name}' runs here: undertow run starts one" in run(
        project, commands / "undertow", "status", code=1
    )


def test_train_alone_packs_a_checkpoint_and_without_it_the_artifact_names_what_loads_it(base, tmp_path):
    commands = install(base, "train")
    run(tmp_path, commands / "python", "-m", "seed.tft", tmp_path, path=ROOT / "tests")
    pack = ("pack", "tft.ckpt", "--trust", "--name", "tft", "--tap", "lstm_encoder:last")
    run(tmp_path, commands / "undertow", *pack)
    commands = install(base)
    said = run(
        tmp_path,
        commands / "python",
        "-c",
        "import undertow\ntry: undertow.load('artifact')\nexcept undertow.Refused as refusal: print(refusal)",
    )
    assert "a model of pytorch-forecasting: expected the packages pytorch_forecasting, lightning" in said
    assert "pip install 'undertow[train]'" in said


@pytest.mark.redis
def test_reader_alone_reads_redis_and_sqlite_and_imports_neither_feast_nor_torch_nor_ray(base, tmp_path, request):
    places = []
    for kind in ("redis", "sqlite"):
        (folder := tmp_path / kind).mkdir()
        world = make_world(request, kind, folder)
        world.apply(SIMPLE)
        world.read_applied()
        world.write(SIMPLE, ("s08", JUNE, 1.0), ("s09", JUNE, 2.0))
        places.append(world.repo)
    commands = install(base, "reader")
    said = run(tmp_path, commands / "python", "-c", READ, *places)
    assert json.loads(said.splitlines()[-1]) == [["s08", [True, False], [[1.0, 1.1]], ["s09"]]] * 4 + [[]]


def test_view_alone_draws_a_picture(base, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    rows = {"site": [f"s{n}" for n in range(20)], "event_timestamp": pa.array(range(20), pa.timestamp("us", tz="UTC"))}
    pq.write_table(pa.table({**rows, "embedding": list(vectors)}), tmp_path / "vectors.parquet")
    run(tmp_path, install(base, "view") / "undertow", "view", "vectors.parquet", "-o", "space.png")
    assert (tmp_path / "space.png").read_bytes().startswith(b"\x89PNG")

"""What is measured of a log: how it is looked at, drawn, joined and maintained, each by a process of its own.

In: a log at one time. Out: seconds and the greatest resident memory. As a script: does one thing of its own to the log,
which it gets as JSON, and prints its seconds.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from log_world import PARTITIONS, SERIES, Moment, World, log_at, maintain_at

from undertow.adapters.offline_chains import chains
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest

LOOKS = 20
ASKED = 1_000
SAMPLE = 500
KIB, MIB = 1 << 10, 1 << 20
UNDERTOW = Path(sys.executable).with_name("undertow")
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(f"\\n{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts what is measured from a small process: Linux counts the memory of the one that a process is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a process took."""

    seconds: float
    cpu_s: float
    """Of the whole process, imports included: what a machine with other work to do tells as well as an idle one."""
    mib: float
    """The greatest resident memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A log at one time, measured."""

    parts: int
    """All that were ever appended."""
    rows: int
    now_s: float
    files: Mapping[str, int]
    sizes: Mapping[str, int]
    end_ms: float
    """To find the end of a chain, median."""
    summed: Spent
    """To sum up all chains, parts that were folded included; without imports."""
    view: Spent
    """The whole command."""
    join: Spent
    maintain: Spent | None
    """A round, without imports; None if the log is not maintained."""


def look(world: World, *, is_maintained: bool) -> Look:
    """Measure a log; with a round of its maintainer where it has one."""
    folder = Path(world.moment.root).parent
    rows = folder / "rows.parquet"
    write_rows(world, rows)
    maintained = None
    if is_maintained:
        world.age()
        maintained = own("maintain", world.moment)[0]
        world.age()
    ends, summed = own("end", world.moment)[1], own("sum", world.moment)[0]
    return Look(
        parts=world.parts,
        rows=world.rows,
        now_s=world.moment.now_s,
        files=dict(world.count_files()),
        sizes=dict(world.sizes()),
        end_ms=1000 * ends,
        summed=summed,
        view=command(world.moment, "view", "--sample", f"{SAMPLE}", "-o", f"{folder / 'space.html'}"),
        join=command(world.moment, "join", f"{rows}", "-o", f"{folder / 'joined.parquet'}"),
        maintain=maintained,
    )


def write_rows(world: World, path: Path) -> None:
    """Write rows to join: any series, any time of the last hour."""
    random = np.random.default_rng(world.parts)
    times = round(1e6 * world.moment.now_s) - random.integers(0, 3_600_000_000, ASKED)
    table = {
        "site": [f"s{one:04d}" for one in random.integers(0, SERIES, ASKED)],
        "event_timestamp": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(table), path)


def command(moment: Moment, *arguments: str) -> Spent:
    """Run a command of Undertow on the log."""
    said = {"UNDERTOW_MODEL__ARTIFACT": moment.artifact, "UNDERTOW_OFFLINE__PATH": moment.root}
    return spend([str(UNDERTOW), *arguments], Path(moment.root).parent, said)[0]


def own(what: str, moment: Moment) -> tuple[Spent, float]:
    """Do one of this module's things in a process; return what it took, the seconds being the one that it answers."""
    spent, said = spend([sys.executable, "-W", "ignore", __file__, what, json.dumps(asdict(moment))], Path(moment.root))
    seconds = float(said.splitlines()[-1])
    return replace(spent, seconds=seconds), seconds


def spend(words: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> tuple[Spent, str]:
    """Run a process; return what it took, and what it said."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *words],
        cwd=folder,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    said, _, usage = done.stdout.strip().rpartition("\n")
    cpu_s, kib = map(float, usage.split())
    return Spent(seconds=seconds, cpu_s=cpu_s, mib=kib * KIB / MIB), said.strip()


def main() -> None:
    """Do one thing to a log, and print its seconds."""
    moment = Moment(**json.loads(sys.argv[2]))
    view = read_manifest(Path(moment.artifact)).view()
    began = time.perf_counter()
    if sys.argv[1] == "maintain":
        maintain_at(moment, view)
    elif sys.argv[1] == "sum":
        assert len(chains(view_folder(Path(moment.root), view))) == len(PARTITIONS)
    else:
        print(statistics.median(time_end(moment, number) for number in range(LOOKS)))
        return
    print(time.perf_counter() - began)


def time_end(moment: Moment, number: int) -> float:
    """Find the end of a chain as an owner does that has just got it."""
    log = log_at(moment, read_manifest(Path(moment.artifact)).view())
    began = time.perf_counter()
    assert log.end(PARTITIONS[number % len(PARTITIONS)]) is not None
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

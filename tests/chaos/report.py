"""The report of a chaos run.

In: what was broken and how long recovery took, a verdict. Out: Markdown. Knows nothing of how either was found.
"""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.chaos.check import Verdict

BEGIN, END = "<!-- report -->", "<!-- end of report -->"
README = Path(__file__).with_name("README.md")
LIBRARIES = ("ray", "kafka-python", "redis", "feast", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """One fault, and the seconds until records appended right after it were readable on every partition."""

    kind: str
    seconds: float
    row: str = ""
    """The row of `undertow.stream.verdicts` that it plays."""
    kills_a_reader: bool
    """Whether a replica died of kill -9 while its controller lived."""


def write_report(seed: int, recovered: Sequence[Recovered], verdict: Verdict, wall_s: float) -> str:
    """Return the report."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}"
    first = (
        f"Seed {seed}, {len(recovered)} faults, {verdict.windows:,} windows: {verdict.lost} lost, {verdict.wrong} "
        f"wrong, {verdict.doubled} duplicate keys. {wall_s / 60:.1f} minutes on {machine}; "
        f"Python {platform.python_version()}, {libraries}."
    )
    lines = [
        first,
        "",
        "| | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {count:,} |" for name, count in asdict(verdict).items()),
        "",
        "| fault | row of the table | times | recovery p50 s | p99 s | longest s |",
        "|---|---|---|---|---|---|",
    ]
    kinds = sorted({(one.kind, one.row) for one in recovered})
    lines += [_row(kind, row, [one.seconds for one in recovered if one.kind == kind]) for kind, row in kinds]
    if killed := [one.seconds for one in recovered if one.kills_a_reader]:
        lines.append(_row("**all kill -9 of a replica**", "", killed))
    return "\n".join(lines) + "\n"


def keep(reports: Iterable[str], path: Path = README) -> None:
    """Put reports between the markers of a file, in the place of those that are there."""
    text = path.read_text()
    before, rest = text.split(f"{BEGIN}\n")
    after = rest.split(f"{END}\n")[1]
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(reports) + f"{END}\n{after}")


def _row(name: str, row: str, took: Sequence[float]) -> str:
    p50, p99 = np.percentile(took, [50, 99])
    return f"| {name} | {row} | {len(took)} | {p50:.1f} | {p99:.1f} | {max(took):.1f} |"

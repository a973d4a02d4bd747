"""The report of a chaos run.

In: what was broken and how long recovery took, a verdict. Out: Markdown. Knows nothing of how either was found.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tests.chaos.check import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """One fault, and the seconds until records appended right after it were readable on every partition."""

    kind: str
    seconds: float


def write_report(seed: int, recovered: Sequence[Recovered], verdict: Verdict) -> str:
    """Return the report."""
    kinds = sorted({one.kind for one in recovered})
    lines = [f"Seed {seed}, {len(recovered)} faults, {verdict.windows:,} windows.", "", "| | |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {count:,} |" for name, count in asdict(verdict).items()]
    lines += ["", "| fault | times | recovery p50 s | p99 s |", "|---|---|---|---|"]
    for kind in kinds:
        took = [one.seconds for one in recovered if one.kind == kind]
        p50, p99 = np.percentile(took, [50, 99])
        lines.append(f"| {kind} | {len(took)} | {p50:.1f} | {p99:.1f} |")
    return "\n".join(lines) + "\n"

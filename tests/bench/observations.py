"""Raw observations: windows of a table, beside what pandas alone takes to sort it; and of a stream, beside other ways.

In: how much. Out: tables, in the README with `--write`. Starts a Kafka for the stream. Knows no model.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from observed_stream import FULL, QUICK, print_costs, print_held, print_stream
from readme import Section
from report import print_machine
from rich import box
from rich.console import Console
from rich.table import Table

import undertow
from undertow.schemas.contract import Column, IdColumn, InputContract

BY = ["site", "event_timestamp"]
STEPS = 1_000
SPEC = undertow.WindowSpec(
    every="1h", fill="forward", max_gap=3, calendar={"hour": "hour"}, zone="Europe/Berlin", combine={"flow": "mean"}
)
CONTRACT = InputContract(
    series=(IdColumn(name="site", type="string"),),
    past=tuple(Column(name=name) for name in ("flow", "head", "level", "hour")),
    min_length=24,
    max_length=168,
)


def make_frame(observations: int) -> pd.DataFrame:
    """Return hourly observations of series of `STEPS` steps, in order, 2 % of one column NaN."""
    rng = np.random.default_rng(0)
    sites = observations // STEPS
    times = pd.date_range("2026-01-01", periods=STEPS, freq="h", tz="UTC")
    columns = {name: rng.normal(size=sites * STEPS) for name in ("flow", "head", "level")}
    ids = np.repeat([f"s{site:06}" for site in range(sites)], STEPS).astype(object)
    frame = pd.DataFrame({"site": ids, "event_timestamp": np.tile(times, sites), **columns})
    frame.loc[rng.choice(len(frame), len(frame) // 50, replace=False), "head"] = np.nan
    return frame


def seconds(work: Callable[[], object]) -> str:
    """Return the best of three."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return f"{min(taken):.2f}"


def print_frames(console: Console, observations: int) -> None:
    """Print how long windows of a table take."""
    ordered = make_frame(observations)
    shuffled = ordered.sample(frac=1, random_state=1)
    twice = pd.concat([ordered.sample(frac=0.5, random_state=2)] * 2)
    table = Table(
        f"{observations:,} observations", "undertow.windows, s", "windows", "sort_values of pandas, s", box=box.MARKDOWN
    )
    forms = {
        "in order": ordered,
        "shuffled": shuffled,
        "each twice": twice,
        "shuffled, Arrow": pa.Table.from_pandas(shuffled, preserve_index=False),
    }
    for name, frame in forms.items():
        made = undertow.windows(frame, CONTRACT, SPEC)
        sort = "" if isinstance(frame, pa.Table) else seconds(lambda f=frame: f.sort_values(BY))
        table.add_row(name, seconds(lambda f=frame: undertow.windows(f, CONTRACT, SPEC)), f"{len(made):,}", sort)
    made = undertow.windows(ordered, CONTRACT, SPEC)
    table.add_row("batches of 4,096", seconds(lambda: sum(map(len, made.batches(4096)))), f"{len(made):,}", "")
    console.print(table)


def main() -> None:
    """Measure what was chosen, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=1_000_000, help="of the tables (1,000,000)")
    parser.add_argument("--only", choices=PARTS, help="one part, not all")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything works, no more")
    parser.add_argument("--write", action="store_true", help="put the tables into the README as well")
    options = parser.parse_args()
    amounts = QUICK if options.quick else FULL
    frames = 20 * STEPS if options.quick else options.observations
    section = Section(lambda console: print_machine(console, "observations"), write=options.write)
    for part, show in PARTS.items():
        if options.only in {None, part}:
            with section.part(f"observations-{part}"):
                show(section.console, frames if part == "frames" else amounts)


PARTS: dict[str, Callable[[Console, Any], None]] = {
    "frames": print_frames,
    "stream": print_stream,
    "costs": print_costs,
    "held": print_held,
}


if __name__ == "__main__":
    main()

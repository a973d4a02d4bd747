"""How long windows of a million observations take, beside what pandas alone takes to sort them.

In: the number of observations. Out: a table of seconds, on whatever core it is run. Knows no model.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--observations", type=int, default=1_000_000)
    ordered = make_frame(parser.parse_args().observations)
    shuffled = ordered.sample(frac=1, random_state=1)
    twice = pd.concat([ordered.sample(frac=0.5, random_state=2)] * 2)
    table = Table("observations", "undertow.windows, s", "windows", "sort_values of pandas, s")
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
    Console().print(table)


if __name__ == "__main__":
    main()

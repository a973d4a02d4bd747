"""Neighbours online: a search with its index, making that, and reading all vectors for each search, over one Redis.

In: nothing. Out: a table of milliseconds and recall, in the README with `--write`. Starts a Redis; needs neither Kafka
nor Ray.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from reader import NOW_US, SIZE, VIEW, make_repo, sites, started_redis
from readme import Section
from report import print_machine
from rich import box
from rich.table import Table

import undertow
from undertow.adapters.feast_repo import online_recipe
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.settings.sections import FeastSettings
from undertow.wiring.stores import open_online

COUNTS = (10_000, 100_000)
K, SEARCHES, BY_HAND = 10, 40, 3
MOVED = 0.3
"""The share of series whose vectors changed after the index was made, each by as much as lies between two series."""


def vectors_of(count: int) -> np.ndarray:
    """Return vectors in clusters, as hidden states are: of others everything is as far from everything."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(count // 500, SIZE))
    return (centres[rng.integers(len(centres), size=count)] + 0.3 * rng.normal(size=(count, SIZE))).astype(np.float32)


def write(feast: FeastSettings, vectors: np.ndarray, places: np.ndarray, at_us: int) -> None:
    """Write the vectors of the series at these places."""
    names = np.array(sites(len(vectors)), object)
    sink = open_online(online_recipe(feast, VIEW))
    for some in np.array_split(places, max(1, len(places) // 10_000)):
        sink.write(
            EmbeddingBatch(
                space=VIEW.space,
                series={"site": names[some]},
                event_us=np.full(len(some), at_us),
                created_us=np.full(len(some), at_us),
                features={"embedding": vectors[some]},
            )
        )
    sink.close()


def milliseconds(act: Callable[[int], Any], rounds: int) -> float:
    """Return the median."""
    taken = []
    for number in range(rounds):
        began = time.perf_counter()
        act(number)
        taken.append(1e3 * (time.perf_counter() - began))
    return statistics.median(taken)


def nearest_by_hand(vectors: np.ndarray, query: int) -> list[int]:
    """Return the places of the K nearest by cosine, without the series itself."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return [place for place in np.argsort(-(unit @ unit[query]), kind="stable")[: K + 1].tolist() if place != query][:K]


def measure(feast: FeastSettings, count: int) -> tuple[str, ...]:
    """Return the cells of a row."""
    vectors, names = vectors_of(count), sites(count)
    write(feast, vectors, np.arange(count), NOW_US + 1)
    queries = np.random.default_rng(2).integers(count, size=SEARCHES).tolist()
    with undertow.Reader(feast.repo, name=VIEW.name) as reader:
        began = time.perf_counter()
        reader.neighbours(names[0], K)
        made = time.perf_counter() - began
        searched = milliseconds(lambda number: reader.neighbours(names[queries[number]], K), SEARCHES)
        by_hand = milliseconds(lambda number: nearest_by_hand(reader.get(names).vectors, number), BY_HAND)
        rng = np.random.default_rng(3)
        moved = rng.choice(count, int(MOVED * count), replace=False)
        vectors[moved] += (0.3 * rng.normal(size=(len(moved), SIZE))).astype(np.float32)
        write(feast, vectors, moved, NOW_US + 2)
        found = [{*reader.neighbours(names[query], K).series["site"]} for query in queries]
        wanted = [{names[place] for place in nearest_by_hand(vectors, query)} for query in queries]
    recall = statistics.mean(len(one & other) / K for one, other in zip(found, wanted, strict=True))
    return (
        f"{count:,}",
        f"{searched:,.1f}",
        f"{by_hand:,.0f} ({by_hand / searched:.0f} x)",
        f"{made:.1f}",
        f"{recall:.3f}",
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    options = parser.parse_args(arguments)
    section = Section(lambda console: print_machine(console, "neighbours"), write=options.write)
    table = Table(
        "series",
        f"search, k = {K}: ms",
        "all read and multiplied each time: ms",
        "index made: s",
        f"recall@{K}, {MOVED:.0%} moved since",
        box=box.MARKDOWN,
    )
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "redis").mkdir()
            with started_redis(folder / "redis") as redis:
                table.add_row(*measure(make_repo(folder, redis), count))
    with section.part("neighbours"):
        section.console.print(table)


if __name__ == "__main__":
    main()

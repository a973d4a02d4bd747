"""A month of history: does a maintained log stay small, and as quick to read as on its first day?

In: how much of the month. Out: tables, in the README with `--write`. Needs neither Kafka nor Redis.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from log_cases import Look, look
from log_report import DAY_S, Plan, costs, print_beside, print_growth, print_month, sizes
from log_world import PARTITIONS, Moment, Pace, World
from readme import Section
from report import print_machine
from rich.console import Console

from undertow.artifact.format.manifest import read_manifest

sys.path.append(str(Path(__file__).parents[1]))
from packing import pack
from seed.mlp import MLPForecaster

TOML = """
class = "seed.mlp:MLPForecaster"
weights = "mlp.pt"
[arguments]
columns = 1
length = 4
hidden_size = 16
[input]
columns = ["flow"]
axes = "nf"
max_length = 4
[series]
site = "string"
"""
SLACK_S = 4 * 3600.0
"""Our clock must be behind the machine's when it ends, with all that `look` does meanwhile."""


def make_artifact(folder: Path) -> Path:
    """Pack a model whose vectors have 16 numbers."""
    torch.save(MLPForecaster(columns=1, length=4, hidden_size=16).state_dict(), folder / "mlp.pt")
    (folder / "mlp.toml").write_text(TOML)
    pack(folder / "mlp.toml", folder / "artifact", name="log", taps={"hidden": "hidden.3"}, code=["seed"])
    return folder / "artifact"


def run(folder: Path, options: argparse.Namespace, section: Section) -> None:
    """Grow a log, look at it, print."""
    plan = Plan(checkpoint_s=options.checkpoint, every_s=options.every, grace_s=options.grace, rows=options.rows)
    busy = Pace(checkpoint_s=plan.checkpoint_s, rows=plan.rows)
    quiet = Pace(checkpoint_s=plan.every_s, rows=round(plan.rows * plan.every_s / plan.checkpoint_s))
    each_s = plan.checkpoint_s / len(PARTITIONS)
    span_s = (options.before + options.parts) * each_s + plan.grace_s + options.days * DAY_S
    artifact = make_artifact(folder)
    begin_s = time.time() - span_s - SLACK_S
    moment = Moment(
        root=str(folder / "offline"),
        artifact=str(artifact),
        now_s=begin_s,
        grace_s=plan.grace_s,
        keep_days=options.keep_days,
    )
    world = World(moment, read_manifest(artifact).view())
    with section.part("log"):
        world.append(options.before * each_s, busy)
        before = look(world, is_maintained=False)
        tell(before, begin_s)
        world.maintain()
        world.wait(plan.grace_s + 1)
        after = look(world, is_maintained=True)
        tell(after, begin_s)
        print_beside(section.console, before, after)
        world.most_files = 0  # those before it was maintained do not count
        rounds = round(options.days * DAY_S / plan.every_s), -(-options.parts // round(plan.every_s / each_s))
        looks = [*grow(world, plan.every_s, (quiet, busy), rounds, options.looks, begin_s)]
        print_growth(section.console, begin_s, looks)
        print_month(section.console, plan, begin_s, looks, world.most_files)


def grow(world: World, every_s: float, paces: tuple[Pace, Pace], rounds: tuple[int, int], looks: int, begin_s: float):
    """Stream and maintain in turns, first at one pace, then at the other; yield looks, half of them at each pace."""
    halves = (looks // 2, looks - looks // 2) if all(rounds) else tuple(looks * bool(count) for count in rounds)
    for pace, count, some in zip(paces, rounds, halves, strict=True):
        stops = {round(count * (number + 1) / some) for number in range(some)}
        for number in range(1, count + 1):
            world.append(every_s, pace)
            if number in stops:
                yield (seen := look(world, is_maintained=True))
                tell(seen, begin_s)
            else:
                world.maintain()


def tell(one: Look, begin_s: float) -> None:
    """Say a look while the others are to come."""
    Console(stderr=True).print(" | ".join([*sizes(one, begin_s), *costs(one, begin_s)[1:]]), soft_wrap=True)


def main() -> None:
    """Parse, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=20_000, help="parts at the full pace, after the days")
    parser.add_argument("--days", type=float, default=1.25, help="days with all rows and rounds, and few parts, before")
    parser.add_argument("--before", type=int, default=6_000, help="parts that are read before they are maintained")
    parser.add_argument("--rows", type=int, default=2, help="rows of a part")
    parser.add_argument("--looks", type=int, default=8)
    parser.add_argument("--checkpoint", type=float, default=2.0, help="seconds")
    parser.add_argument("--every", type=float, default=300.0, help="seconds between two rounds of the maintainer")
    parser.add_argument("--grace", type=float, default=3600.0, help="offline.grace_seconds")
    parser.add_argument("--keep-days", type=int, default=0, help="offline.keep_days")
    parser.add_argument("--write", action="store_true", help="put the tables into the README as well")
    options = parser.parse_args()
    section = Section(partial(print_machine, script="log"), write=options.write)
    with tempfile.TemporaryDirectory(prefix="undertow-log-") as name:
        run(Path(name), options, section)


if __name__ == "__main__":
    main()

"""Break a fleet by a seeded script, and see what its stores hold afterwards: `python -m tests.chaos.run --seed 1`.

In: a seed, how many faults. Out: a report; the exit status is 1 where anything was lost, duplicated or wrong.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from redis import RedisError

from tests.chaos.check import Verdict, check
from tests.chaos.produce import Producer
from tests.chaos.read import SITE_NAMES, Online, read_offline, read_rejects, read_truth
from tests.chaos.report import Recovered, write_report
from tests.chaos.script import Timed, brief_script, write_script
from tests.chaos.world import PARTITIONS, PATIENCE_S, TOPIC, World, running


def run(folder: Path, seed: int, script: Sequence[Timed]) -> tuple[list[Recovered], Verdict]:
    """Run the script in a world of its own."""
    with running(folder) as world:
        producer = Producer(world.settings.kafka.bootstrap, TOPIC, PARTITIONS, seed)
        online = Online(world)
        producer.start()
        recovered = [_go_through(world, producer, online, timed) for timed in script]
        producer.stop()
        world.until(lambda: world.fleet.status().lag == 0, "the last record to be read")
        last = world.fleet.drain_and_wait(PATIENCE_S)
        assert last.state == "drained", last.to_json()
        verdict = check(
            read_truth(world, max(producer.sent)),
            sent=producer.sent,
            offline=read_offline(world),
            online={site: vector for site, (_, vector) in online.read(SITE_NAMES).items()},
            rejects=read_rejects(world),
        )
    return recovered, verdict


def _go_through(world: World, producer: Producer, online: Online, timed: Timed) -> Recovered:
    """Break, wait, mend, and wait until what was appended right after the fault is readable on every partition."""
    world.until(world.is_whole, "all to run and to be read")
    time.sleep(timed.after_s)
    timed.fault.break_it(world)
    began, mend_at = time.monotonic(), time.monotonic() + timed.lasts_s
    probes = producer.probe() if timed.fault.heals_itself else None
    readable_at = None
    while readable_at is None or mend_at is not None:
        if mend_at is not None and time.monotonic() >= mend_at:
            timed.fault.mend_it(world)
            mend_at = None
            if probes is None:
                began, probes = time.monotonic(), producer.probe()
        if probes is not None and readable_at is None and _shows(online, probes):
            readable_at = time.monotonic()
        assert time.monotonic() < began + PATIENCE_S, f"{timed.fault}: {world.fleet.status().to_json()}"
        time.sleep(0.05)
    print(f"{timed.fault.kind}: {readable_at - began:.1f} s", file=sys.stderr, flush=True)
    return Recovered(kind=timed.fault.kind, seconds=readable_at - began)


def _shows(online: Online, probes: dict[str, int]) -> bool:
    try:
        return online.shows(probes)
    except RedisError:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--brief", action="store_true", help="the few faults of the test suite instead")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    script = brief_script() if given.brief else write_script(given.seed, given.faults)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        recovered, verdict = run(Path(folder), given.seed, script)
    report = write_report(given.seed, recovered, verdict)
    print(report)
    if given.output is not None:
        given.output.write_text(report)
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())

"""Break a fleet by a seeded script, and see what its stores hold afterwards: `python -m tests.chaos.run --seed 1`.

In: a seed, how many faults. Out: a report; the exit status is 1 where anything was lost, duplicated or wrong.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.check import Verdict, check
from tests.chaos.check_observed import check_observed
from tests.chaos.history import look_back
from tests.chaos.kinds import EVERY_KIND
from tests.chaos.maintainer import maintain_once
from tests.chaos.observations import Observed
from tests.chaos.past import Past
from tests.chaos.poison import LIVING_KINDS
from tests.chaos.produce import Producer
from tests.chaos.read import Online, Watcher, read_history, read_offline, read_online, read_truth
from tests.chaos.read_observed import cutter_of, read_topic
from tests.chaos.report import Recovered, keep, write_report
from tests.chaos.script import Timed, brief_script, script_of, write_script
from tests.chaos.snapshots import SNAPSHOT_KINDS
from tests.chaos.store_faults import STORE_KINDS
from tests.chaos.windows import Numbered
from tests.chaos.world import GIVE_UP_AFTER_S, TOPIC, World, running

LOOK_EVERY_S = 0.05
KINDS = {kind.__name__: kind for kind in (*EVERY_KIND, *STORE_KINDS, *SNAPSHOT_KINDS, *LIVING_KINDS)}


def run(
    folder: Path, seed: int, script: Sequence[Timed], *, in_store: bool = False, observes: bool = False
) -> tuple[list[Recovered], Verdict]:
    """Run the script in a world of its own."""
    began = time.monotonic()
    recovered: list[Recovered] = []
    with running(folder, in_store=in_store, observes=observes) as world:
        content = Observed(seed) if observes else Numbered(seed)
        producer = Producer(world.broker, world.settings.kafka.bootstrap, TOPIC, content)
        if isinstance(content, Observed):
            make = content.fatal
            world.send_fatal = lambda partition, value: producer.send(lambda count: make(count, partition, value))
        online = Online(world.settings.feast)
        watcher = Watcher(Online(world.settings.feast), lambda: world.emptied)
        past = Past(world, seed)
        producer.start()
        past.start()
        watcher.start()
        for timed in script:
            recovered.append(_go_through(world, producer, online, timed))
            _say(f"{len(recovered)}/{len(script)} after {time.monotonic() - began:.0f} s: {_words(recovered[-1])}")
        producer.stop()
        past.stop()
        world.until(lambda: world.driver.status().lag == 0, "the last record to be read")
        world.until(world.has_restored, "the online store to be filled again")
        world.driver.drain()
        watcher.stop()
        world.until(world.has_folded, "the maintainer to fold")
        world.maintainer.end()
        _say(maintain_once(folder).strip())
        _say("all is quiet; comparing every row")
        streamed, backfilled = read_history(world)
        found = {
            "sent": producer.sent,
            "offline": read_offline(world, streamed),
            "online": read_online(online),
            "looks": watcher.looks,
            "backwards": watcher.backwards,
            "versions": look_back(world.log_space()),
            "readers_wrong": world.readers_wrong,
            "backfill": past.judge(backfilled),
        }
        letters = world.broker.letters()
        if observes:
            return recovered, check_observed(read_topic(world), cutter_of(world), letters=letters, **found)
        rejects = [place for place, _ in letters]
        return recovered, check(read_truth(world, max(producer.sent)), rejects=rejects, **found)


def _go_through(world: World, producer: Producer, online: Online, timed: Timed) -> Recovered:
    """Break, wait, mend, and wait until what was appended right after the fault is readable on every partition."""
    world.until(world.is_ready, "all to be read, and another replica to stand by")
    world.until(world.has_folded, "the maintainer to fold")
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
        if probes is not None and readable_at is None and online.shows(probes):
            readable_at = time.monotonic()
        assert time.monotonic() < began + GIVE_UP_AFTER_S, f"{timed.fault}: {world.driver.status().to_json()}"
        time.sleep(LOOK_EVERY_S)
    fault, seconds = timed.fault, readable_at - began
    return Recovered(kind=fault.kind, row=fault.row, seconds=seconds, kills_a_reader=fault.kills_a_reader)


def _words(one: Recovered) -> str:
    return f"{one.kind}, {one.seconds:.1f} s"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--brief", action="store_true", help="the few faults of the test suite instead")
    parser.add_argument("--kind", choices=[*KINDS], help="nothing but faults of this class")
    parser.add_argument("--store", choices=["disk", "s3"], default="disk", help="where the log lies")
    parser.add_argument("--content", choices=["windows", "observations"], default="windows", help="what records hold")
    parser.add_argument("--times", type=int, default=1, help="run so often, with this seed and those that follow")
    parser.add_argument("--write", action="store_true", help="keep the reports in tests/chaos/README.md")
    given = parser.parse_args()
    in_store, observes = given.store == "s3", given.content == "observations"
    kinds = (*EVERY_KIND, *(STORE_KINDS if in_store else ()), *((*SNAPSHOT_KINDS, *LIVING_KINDS) if observes else ()))
    reports: list[str] = []
    for seed in range(given.seed, given.seed + given.times):
        script = brief_script(observes=observes) if given.brief else write_script(seed, given.faults, kinds)
        if given.kind is not None:
            script = script_of(KINDS[given.kind], seed, given.faults)
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        order = f"FAULTS={given.faults} SEED={seed} STORE={given.store} CONTENT={given.content}"
        again = f"what it left is in {folder}; again: make chaos {order}"
        began = time.monotonic()
        try:
            recovered, verdict = run(folder, seed, script, in_store=in_store, observes=observes)
        except BaseException:
            _say(again)
            raise
        reports.append(write_report(seed, recovered, verdict, time.monotonic() - began))
        print(reports[-1], flush=True)
        if not verdict.is_clean:
            _say(again)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
    if given.write:
        keep(reports)
    return 0


if __name__ == "__main__":
    sys.exit(main())

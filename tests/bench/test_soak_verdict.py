"""What the soak calls flat."""

import random
from dataclasses import replace

from tests.bench.soak_verdict import Minute, judge

STEADY = Minute(
    number=1,
    windows=100_000,
    p50_ms=8.0,
    p99_ms=40.0,
    lag=50,
    replicas_mib=1_500.0,
    controller_mib=300.0,
    cpu_us=200.0,
    yardstick_ms=30.0,
    files=120,
    threads=60,
    parts=10,
)


def not_flat(minutes: list[Minute]) -> list[str]:
    return [verdict.what for verdict in judge(minutes) if not verdict.is_flat]


def test_a_noisy_hour_without_a_trend_is_flat():
    noise = random.Random(0)
    minutes = [
        replace(STEADY, p50_ms=8 + noise.random(), p99_ms=40 + 30 * noise.random(), replicas_mib=1_500 + noise.random())
        for _ in range(60)
    ]
    assert not_flat(minutes) == []


def test_a_mebibyte_a_minute_is_not_flat():
    minutes = [replace(STEADY, replicas_mib=1_500.0 + number) for number in range(60)]
    assert not_flat(minutes) == ["memory of the replicas, MiB"]


def test_a_file_that_is_never_closed_every_five_minutes_is_not_flat():
    assert not_flat([replace(STEADY, files=120 + number // 5) for number in range(60)]) == ["file descriptors"]


def test_latency_that_doubles_in_an_hour_is_not_flat():
    minutes = [replace(STEADY, p50_ms=8.0 * (1 + number / 60)) for number in range(60)]
    assert not_flat(minutes) == ["latency p50 at one speed, ms"]


def test_latency_that_doubles_while_the_machine_gives_half_is_flat():
    slow = replace(STEADY, p50_ms=16.0, p99_ms=80.0, yardstick_ms=60.0)
    assert not_flat([slow if number > 30 else STEADY for number in range(60)]) == []


def test_one_bad_minute_is_no_trend():
    minutes = [replace(STEADY, p99_ms=5_000.0 if number == 40 else 40.0) for number in range(60)]
    assert not_flat(minutes) == []


def test_what_grows_in_the_first_tenth_only_is_flat():
    minutes = [replace(STEADY, replicas_mib=1_500.0 - 200.0 * max(0, 6 - number)) for number in range(60)]
    assert not_flat(minutes) == []


def test_a_soak_of_one_minute_has_a_verdict():
    assert not_flat([STEADY]) == []

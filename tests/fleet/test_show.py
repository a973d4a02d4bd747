"""What an operator sees of a fleet."""

import io
import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from undertow.core.errors import Refused, Unavailable
from undertow.core.stop_signals import Stop, stop_signals
from undertow.fleet import run
from undertow.fleet.artifact_status import ArtifactStatus
from undertow.fleet.recent import Recent
from undertow.fleet.run import news
from undertow.fleet.show import line, ranges, screen, watch
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.stream import histogram
from undertow.stream.counts import Counts
from undertow.telemetry.logs import Line


def said(event="failover", level="WARNING", at=5.0):
    return Line(at=at, level=level, replica="", event=event, text="[bold] what happened")


def a_fleet(**changes):
    latency = histogram.of(np.array([0.005] * 98 + [0.04] * 2))
    held = frozenset(Partition("windows", index) for index in (0, 1, 2, 5))
    replica = ReplicaStatus(
        name="replica-3ad8aa",
        state="running",
        pid=17,
        held=held,
        lag=dict.fromkeys(held, 2),
        counts=Counts(windows=1_234),
        windows_per_s=812.4,
        recent_latency=latency,
        durable_at=98.5,
        blocked="redis [is] away",
    )
    values = {
        "name": "f",
        "state": "running",
        "replicas": (replica,),
        "wanted": 1,
        "partitions": 4,
        "counts": Counts(windows=2_000, rejects={"number": 3}, last_reject={"number": "windows-1@7"}, latency=latency),
        "failovers": 0,
        "lines": (said(),),
    }
    return FleetStatus(**{**values, **changes})


def shown(status, width=200):
    text = io.StringIO()
    Console(file=text, width=width).print(screen(status, now=100.0, width=width))
    return text.getvalue()


def test_a_row_tells_partitions_rate_latency_and_the_age_of_the_last_checkpoint():
    text = shown(a_fleet())
    (row,) = [row for row in text.splitlines() if "replica-3ad8aa" in row]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("replica-3ad8aa", "running", "17", "0-2 5", "8", "1,234", "812", "5 ms", "42 ms", "1.5 s", "0"),
        "redis [is] away",
    ]


def test_the_line_above_and_what_follows_below():
    text = shown(a_fleet())
    assert "running · 1 replica · 2,000 windows · 812/s · lag 8 · rejects 3 · append to readable p50 5 ms p99" in text
    assert "rejects by reason: number 3 (last windows-1@7); see them: undertow replay" in text
    assert "controller     failover [bold] what happened" in text


def test_a_fleet_that_has_ended_shows_the_latency_of_its_whole_life_and_no_rate():
    said = line(a_fleet(replicas=(), state="drained"))
    assert "drained · 0 replicas · 2,000 windows · lag ? · rejects 3 · append to readable p50 5 ms" in said


def test_while_there_are_fewer_replicas_than_are_wanted_the_line_says_how_many_and_how_many_start():
    runs, *others = [
        replace(a_fleet().replicas[0], name=f"r{n}", state=state)
        for n, state in enumerate(("running", "starting", "starting"))
    ]
    assert "running · 3 of 5 replicas, 2 starting ·" in line(a_fleet(replicas=(runs, *others), wanted=4, standbys=1))
    assert "running · 3 replicas, 2 starting ·" in line(a_fleet(replicas=(runs, *others), wanted=3))
    assert "draining · 1 replica ·" in line(a_fleet(replicas=(runs,), wanted=0, standbys=2, state="draining"))


def test_offsets_that_were_lost_are_in_the_line():
    assert " · lost 1,234" in line(a_fleet(counts=Counts(lost=1234)))
    assert "lost" not in line(a_fleet(counts=Counts(lost=0)))


def test_neighbours_are_written_together():
    numbers = [3, 0, 1, 2, 9, 7]
    assert ranges(Partition("t", n) for n in numbers) == "0-3 7 9"
    assert ranges([]) == ""


def test_json_holds_the_same_for_programs():
    found = a_fleet().to_json()
    assert found["windows_per_s"] == 812.4
    assert found["last_reject"] == {"number": "windows-1@7"}
    assert found["events"][0] == {
        "time": "1970-01-01T00:00:05.000Z",
        "level": "WARNING",
        "replica": "",
        "event": "failover",
        "message": "[bold] what happened",
    }
    (replica,) = found["replicas"]
    assert replica["durable_at"] == "1970-01-01T00:01:38.500Z"
    assert replica["lag_by_partition"]["windows-5"] == 2


def test_the_foreground_says_what_goes_wrong_and_that_it_is_over_once():
    lines = (said(), said("assigned", "INFO", 6.0), said("recovered", "INFO", 7.0))
    before: set[Line] = set()
    assert [one.event for one in news(a_fleet(lines=lines), before)] == ["failover", "recovered"]
    assert [one.event for one in news(a_fleet(lines=(*lines, said(at=9.0))), before)] == ["failover"]


def test_rates_and_latencies_are_those_of_the_last_ten_seconds():
    recent, latency = Recent(), histogram.of(np.full(7, 1.0))
    for second in range(31):
        rate, lately = recent.see(float(second), 100 * second if second <= 10 else 1_000, latency)
        if second == 10:
            assert rate == 100.0
    assert (rate, int(lately.sum())) == (0.0, 0)
    latency = latency + histogram.of(np.full(3, 0.5))
    assert int(recent.see(31.0, 1_050, latency)[1].sum()) == 3


def test_a_narrow_terminal_shows_fewer_columns_and_none_of_them_in_half_and_all_that_events_say():
    event = replace(said(), text=" ".join(map(str, range(90))))
    text = shown(a_fleet(lines=(event,)), width=80)
    cells = [word.strip() for row in text.splitlines() if "│ replica" in row for word in row.strip("│").split("│")]
    assert cells == ["replica-3ad8aa", "running", "0-2 5", "8", "1,234", "42 ms", "1.5 s"]
    assert "replica-3ad8aa: redis [is] away" in text
    assert max(map(len, text.splitlines())) <= 80
    assert event.text in " ".join(text.split())


@pytest.mark.parametrize("state", ["draining", "running"])
def test_a_watch_ends_in_peace_only_where_the_fleet_was_about_to_end(state):
    answers = [a_fleet(state=state), Refused("its controller is gone")]

    def look():
        answer = answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    if state == "draining":
        watch(look, Console(file=io.StringIO()), as_json=True)
    else:
        with pytest.raises(Refused, match="controller is gone"):
            watch(look, Console(file=io.StringIO()), as_json=True)
    assert answers == []


@pytest.mark.parametrize("as_json", [True, False])
def test_a_watch_asks_again_where_the_controller_is_late(as_json, monkeypatch, capsys):
    monkeypatch.setattr("undertow.fleet.show.WATCH_EVERY_S", 0.0)
    late = Unavailable("the controller has not answered for 30 s")
    answers = [a_fleet(state="running"), late, late, a_fleet(state="drained")]

    def look():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    shown = io.StringIO()
    watch(look, Console(file=shown, width=200), as_json=as_json)
    assert answers == []
    told = capsys.readouterr().err if as_json else shown.getvalue()
    assert told.count("late: the controller has not answered for 30 s; asking again") == 2
    if as_json:
        assert [json.loads(text)["state"] for text in shown.getvalue().splitlines()] == ["running", "drained"]


class Answers:
    """A fleet whose controller says this, one after another."""

    def __init__(self, *answers):
        self.answers, self.drains, self.name = [*answers], 0, "f"
        self.stopped: list[bool] = []

    def status(self, stops):
        self.stopped.append(stops())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def drain(self):
        self.drains += 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_foreground_asks_again_where_the_controller_is_late(log_format):
    late = Unavailable("the controller has not answered for 30 s")
    running, ending = a_fleet(state="running"), a_fleet(state="draining")
    fleet = Answers(running, ending, late, ending, late, ending, a_fleet(state="drained"))
    stop, said = Stop(), io.StringIO()
    stop.set()
    status = run.watch(fleet, Console(file=said), stop, drain_when_idle_s=None, log_format=log_format)
    assert (status.state, fleet.answers, fleet.drains) == ("drained", [], 3)
    if log_format == "text":
        assert "late the controller has not answered for 30 s" in said.getvalue()
    else:
        told = [json.loads(text) for text in said.getvalue().splitlines() if text.startswith("{")]
        assert [(one["fleet"], one["event"], one["message"]) for one in told if one["event"] == "late"] == [
            ("f", "late", "the controller has not answered for 30 s")
        ] * 2


def test_the_foreground_is_stopped_while_the_controller_is_late_and_ends_where_it_stays_late():
    late, stop = Unavailable("the controller has not answered for 30 s"), Stop()

    class StoppedAtTheSecondLook(Answers):
        def status(self, stops):
            if len(self.answers) == 3:
                stop.set()
            return super().status(stops)

    fleet = StoppedAtTheSecondLook(late, late, late, late)
    with pytest.raises(
        Unavailable, match="the order to drain fleet 'f' was given, but the controller has not answered"
    ):
        run.watch(fleet, Console(file=io.StringIO()), stop, drain_when_idle_s=None)
    assert fleet.drains == 1
    assert fleet.stopped == [False, True, False]  # the second is not waited for, the one after the order is
    assert len(fleet.answers) == 1


def test_the_last_line_tells_how_far_behind_the_fleet_was_when_it_ended():
    held = [Partition("windows", index) for index in range(4)]

    def reading(state, **lags):
        """So far behind is each artifact, in the partitions that it still reads."""
        artifacts = tuple(
            ArtifactStatus(
                artifact=name,
                held=frozenset(held),
                lag=dict(zip(held, lag, strict=False)),
                counts=Counts(windows=5),
            )
            for name, lag in lags.items()
        )
        replica = replace(a_fleet().replicas[0], lag=dict(zip(held, lags["a"], strict=False)))
        return a_fleet(state=state, artifacts=artifacts, replicas=(replica,))

    gone = [ArtifactStatus(artifact=name, counts=Counts(windows=5)) for name in "ab"]
    ended = a_fleet(state="drained", replicas=(), artifacts=tuple(gone))
    assert "lag ?" in line(ended)
    looks = reading("running", a=[9, 0, 0, 0], b=[9, 9, 0, 0]), reading("draining", a=[1, 0], b=[0, 1, 2000, 1]), ended
    status = run.watch(Answers(*looks), Console(file=io.StringIO()), Stop(), drain_when_idle_s=None)
    assert "drained · 0 replicas" in line(status)
    assert "· lag 2,003 ·" in line(status)
    assert "a: 5 windows · lag 1 " in shown(status)
    assert "b: 5 windows · lag 2,002 " in shown(status)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_foreground_and_a_second_interrupt_interrupts(number):
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with stop_signals() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGHUP, before)


def test_what_nohup_has_asked_for_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.is_set()
    assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN


def test_a_suspect_is_named_with_where_and_how_it_is_read():
    suspect = "windows-5 of pumps is read alone from offset 40 on, 16 records at a time [hangs], until offset 5,040"
    status = a_fleet(suspects=(suspect,))
    assert f"suspect: {suspect}" in shown(status)
    assert status.to_json()["suspects"] == [suspect]

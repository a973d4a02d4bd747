"""Which project's fleet it is that a command reaches by a name."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.artifact.format.manifest import read_manifest
from undertow.cli.main import main
from undertow.core.errors import Refused, Unavailable
from undertow.fleet import launch, show
from undertow.fleet.handshake import Handshake, hear, say_hello
from undertow.fleet.identity import difference, refuse_another_project
from undertow.fleet.status import FleetStatus
from undertow.settings.settings import Settings
from undertow.stream.counts import Counts

ARTIFACT = Path(__file__).parents[1] / "before" / "0.1-loose" / "artifact"
BROKER = "127.0.0.1:9092"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The settings of a project with an artifact, and what the controller of its fleet says."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(model={"artifact": ARTIFACT}, kafka={"topic": "flows"})
    serves = (read_manifest(ARTIFACT).view().view,)
    log = str(tmp_path / ".undertow" / "offline")
    said = {**say_hello(state="running", serves=serves, topic="flows", bootstrap=BROKER, log=log)}
    return settings, said


def of(settings, **sections):
    return settings.model_copy(
        update={
            name: getattr(settings, name).model_copy(update={key: Path(value) if key == "path" else value})
            for name, (key, value) in sections.items()
        }
    )


def test_a_fleet_that_writes_the_projects_log_is_its_own_whatever_is_packed_meanwhile(project):
    settings, said = project
    for own in (
        settings,
        of(settings, model=("artifact", Path("retrained"))),
        of(settings, kafka=("topic", "another")),
        of(settings, kafka=("bootstrap", "outside:9094")),
    ):
        assert difference(hear(said), own) is None


def test_from_elsewhere_it_is_known_by_its_broker_topic_and_artifact(project):
    settings, said = project
    elsewhere = of(settings, offline=("path", "/mnt/log"))
    assert difference(hear(said), elsewhere) is None
    assert difference(hear({**said, "log": ""}), of(settings, offline=("enabled", False))) is None
    for change in (
        {"kafka": ("topic", "another")},
        {"kafka": ("bootstrap", "outside:9094")},
        {"model": ("artifact", Path("retrained"))},
    ):
        assert difference(hear(said), of(elsewhere, **change)) is not None


def test_the_fleet_of_another_project_is_refused_with_what_both_are_and_the_command_that_names_it(project):
    settings, said = project
    other = of(settings, offline=("path", "/mnt/log"), model=("artifact", Path("nowhere")), kafka=("topic", "tides"))
    with pytest.raises(Refused) as refused:
        refuse_another_project("pumps of 7", hear(said), other, command="undertow scale 4")
    assert str(refused.value) == (
        f"fleet 'pumps of 7' is of another project: it serves {said['serves'][0]}, and the artifact here is none; "
        f"kafka.topic is 'flows' there and 'tides' here; offline.path is '{said['log']}' there and '/mnt/log' here. "
        "Set fleet.name to that of the fleet that you mean, or, if it is this one: undertow scale 4 --set "
        "'fleet.name=pumps of 7'"
    )


def test_a_controller_of_a_build_that_does_not_say_whose_it_is_takes_orders(project):
    settings, _ = project
    assert difference(Handshake(state="running"), settings) is None


class LateFleet:
    """A fleet whose controller is late at first, and has drained when it answers."""

    name = "night"

    def __init__(self) -> None:
        self.asked = 0

    def handshake(self):
        message = "the controller has not answered for 30 s"
        raise Unavailable(message)

    def status(self):
        self.asked += 1
        if self.asked == 1:
            self.handshake()
        return FleetStatus(
            name="night", state="drained", replicas=(), wanted=0, partitions=1, failovers=0, counts=Counts()
        )


@pytest.mark.usefixtures("project")
def test_a_watch_outlives_a_controller_that_is_too_late_to_say_whose_it_is(monkeypatch):
    monkeypatch.setattr(launch, "find_fleet", lambda _settings: LateFleet())
    monkeypatch.setattr(show, "WATCH_EVERY_S", 0.0)
    done = CliRunner().invoke(main, ["status", "--watch"])
    assert done.exit_code == 0, done.output
    assert "late: the controller has not answered" in done.output
    assert "drained" in done.output

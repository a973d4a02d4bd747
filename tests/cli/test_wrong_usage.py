"""What cannot be meant, whatever is read, ends with exit code 2 and shows the usage; what is read ends with 1."""

import pytest
from click.testing import CliRunner

from undertow.adapters.feast_lookup import _typed
from undertow.cli.main import main
from undertow.core.errors import Refused, WrongUsage
from undertow.core.features import name_features
from undertow.settings.settings import load

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["get", "watch", "wearer"], "keys are written as id=value"),
        (["get", "watch", "wearer=a", "wearer=b"], "expected each id once"),
        (["view", "-o", "x.gif"], "expected an output that ends with .html"),
        (["view", "--since", "yesterday"], "expected --since and --until as"),
        (["view", "--until", "2026-01-01"], "expected --since and --until as"),
        (["replay", "--since", "yesterday"], "expected --since and --until as"),
        (["replay", "--reason", "none"], "no reason 'none'; there are"),
        (["produce", "windows.parquet", "--format", "xml"], "kafka.format"),
        (["settings", ""], "there is no setting ''"),
        (["check", "--set", "kafka.topic"], "found no = sign"),
        (["check", "--set", "=5"], "no key before the = sign"),
        (["check", "--set", "kafka=5", "--set", "kafka.topic=5"], "both a value and keys of its own"),
        (["check", "--set", "kafka.password=secret"], "is a secret"),
        (["check", "--set", "kafka.nope=1"], "kafka.nope: there is no such setting"),
        (["check", "--set", "nope.here=1"], "nope: there is no such setting"),
        (["check", "--set", "fleet.replicas=-1"], "fleet.replicas: "),
        (["check", "--set", "fleet.max_replicas=1"], "expected min_replicas <= replicas <= max_replicas"),
        (["check", "--set", "kafka.extra.group_id=1"], "kafka.extra must not set group_id"),
        (["check", "--set", "windows.every=now"], "Error: windows.every: expected a duration"),
        (["check", "--set", "windows.lateness=now"], "Error: windows.lateness: expected a duration"),
        (["check", "--set", "windows.every=1h", "--set", "windows.align=x"], "Error: windows.align: expected one of"),
        (["check", "--set", "windows.known_topic=windows"], "must be another topic than kafka.topic"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_shows_the_usage(argv, told, here):
    (here / "windows.parquet").write_text("")
    done = CliRunner().invoke(main, argv)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith(f"Usage: main {argv[0]} ")
    assert told in done.stderr.splitlines()[-1]
    assert not done.stdout


def test_what_an_option_is_for_cannot_be_told_before_feast_is_read():
    for keys in ({}, {"nope": "1"}, {"wearer": "a", "nope": "1"}, {"lap": "1"}):
        with pytest.raises(WrongUsage, match="expected the ids wearer, lap; found"):
            _typed({"wearer": "STRING", "lap": "INT64"}, keys)
    with pytest.raises(WrongUsage, match="the id lap is an integer"):
        _typed({"lap": "INT64"}, {"lap": "one"})


def test_two_features_of_one_name_are_wrong_usage():
    with pytest.raises(WrongUsage, match="expected one tap for each feature"):
        name_features(["a:last", "b:last"])


def test_a_setting_is_wrong_usage_only_where_it_was_typed(here, monkeypatch):
    (here / "undertow.toml").write_text("[fleet]\nreplicas = -1\n")
    monkeypatch.setenv("UNDERTOW_KAFKA__MAX_BATCH", "many")
    for given in ([], ["kafka.topic=a"], ["kafka.nope=1"], ["fleet.replicas=-2"]):
        with pytest.raises(Refused) as raised:
            load(given)
        assert not isinstance(raised.value, WrongUsage), given
    done = CliRunner().invoke(main, ["check"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    with pytest.raises(WrongUsage):
        load(["fleet.replicas=-1", "kafka.max_batch=0"])


def test_a_fault_of_a_whole_section_is_wrong_usage_unless_it_is_there_without_what_was_typed(here, monkeypatch):
    (here / "undertow.toml").write_text('[windows]\nevery = "1h"\n')
    for given in (["windows.tolerance=2h"], ["fleet.max_replicas=1"], ["windows.known_topic=windows"]):
        with pytest.raises(WrongUsage):
            load(given)
    (here / "undertow.toml").write_text('[windows]\nevery = "1h"\ntolerance = "2h"\n')
    monkeypatch.setenv("UNDERTOW_FLEET__MAX_REPLICAS", "1")
    for given in ([], ["kafka.topic="], ["windows.align=x"], ["fleet.min_replicas=2"]):
        with pytest.raises(Refused) as raised:
            load(given)
        assert not isinstance(raised.value, WrongUsage), given


def test_no_secret_is_shown_by_wrong_usage(monkeypatch):
    login = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "USERNAME": "me", "PASSWORD": "kettle-drum"}
    for name, value in login.items():
        monkeypatch.setenv(f"UNDERTOW_KAFKA__{name}", value)
    done = CliRunner().invoke(main, ["get", "watch", "kettle-drum"])
    assert done.exit_code == 2
    assert "kettle-drum" not in done.output

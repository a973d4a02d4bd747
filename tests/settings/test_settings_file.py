"""What stands where undertow.toml should, and values that nothing takes, are refused in a line."""

import os
from pathlib import Path

import pytest

from undertow.core.errors import Refused
from undertow.settings.settings import TOML, load

pytestmark = pytest.mark.usefixtures("here")


def test_a_folder_is_not_passed_over(here):
    (here / TOML).mkdir()
    with pytest.raises(Refused, match=r"settings at undertow\.toml, found a folder"):
        load()


@pytest.mark.parametrize("target", [TOML, "nothing"], ids=["loop", "dangling"])
def test_a_link_that_leads_nowhere_is_not_passed_over(here, target):
    (here / TOML).symlink_to(target)
    with pytest.raises(Refused, match=r"undertow\.toml"):
        load()


def test_a_pipe_is_not_waited_for(here):
    os.mkfifo(here / TOML)
    with pytest.raises(Refused, match=r"undertow\.toml"):
        load()


def test_the_byte_order_mark_of_utf_8_is_passed_over_as_editors_of_windows_write_it(here):
    (here / TOML).write_text("log_level = 'ERROR'\n", encoding="utf-8-sig")
    assert load().log_level == "ERROR"


def test_the_byte_order_mark_of_utf_16_is_named(here):
    (here / TOML).write_text("log_level = 'INFO'\n", encoding="utf-16")
    with pytest.raises(Refused, match=r"undertow\.toml begins with the byte order mark of UTF-16: save it as UTF-8"):
        load()


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a", "\ufffe"])
def test_what_is_no_toml_is_refused_by_the_name_of_the_file(here, text):
    (here / TOML).write_text(text)
    with pytest.raises(Refused, match=r"undertow\.toml is not valid TOML"):
        load()


def test_a_table_in_the_environment_that_is_nested_for_ever_is_refused(monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFKA__EXTRA", '{"a":' * 100_000)
    with pytest.raises(Refused, match="UNDERTOW_"):
        load()


@pytest.mark.parametrize(
    "value", ["host:abc", "host:", ":9092", "a b:9092", "host:0", "host:65536", "a,,b", "[::1:9092", "x/y"]
)
def test_what_is_no_address_of_a_broker_is_refused(value):
    with pytest.raises(Refused, match=r"kafka\.bootstrap: expected host:port"):
        load([f"kafka.bootstrap={value}"])


@pytest.mark.parametrize(
    "value", ["host", "host:9092", "a:1,b:2", "a:1, b:2", "[::1]:9092", "::1", "10.0.0.1:9092", "my_host.:9092"]
)
def test_addresses_of_brokers_are_taken(value):
    assert load([f"kafka.bootstrap={value}"]).kafka.bootstrap == value


@pytest.mark.parametrize("name", ["a b", ".", "..", "a/b", "é", "x" * 250, "a\tb"])
@pytest.mark.parametrize("key", ["topic", "dead_letters"])
def test_a_name_that_kafka_forbids_is_refused_with_its_setting(key, name):
    with pytest.raises(Refused, match=rf"kafka\.{key}: Kafka takes letters"):
        load([f"kafka.{key}={name}"])


def test_a_topic_whose_dead_letters_would_have_too_long_a_name_is_refused():
    with pytest.raises(Refused, match=r"kafka\.dead_letters"):
        load([f"kafka.topic={'x' * 245}"])
    assert load([f"kafka.topic={'x' * 245}", "kafka.dead_letters=rejects"]).kafka.dead_letter_topic == "rejects"


@pytest.mark.parametrize("name", ["..", ".", "x" * 300, "é" * 50, "a\\nb"])
def test_a_fleet_whose_name_cannot_be_a_files_is_refused(name, here):
    (here / TOML).write_text(f'[fleet]\nname = "{name}"\n', "utf-8")
    with pytest.raises(Refused, match=r"fleet\.name: expected a name"):
        load()


def test_a_path_with_a_zero_byte_is_refused(here):
    for key in ("offline.path", "feast.repo", "model.artifact"):
        section, name = key.split(".")
        (here / TOML).write_text(f'[{section}]\n{name} = "a\\u0000b"\n')
        with pytest.raises(Refused, match=rf"{key}: .*zero byte"):
            load()


def test_a_text_that_begins_like_a_list_is_a_path_however_deep_it_seems_to_be_nested():
    text = "[" * 3000
    assert load([f"model.artifact={text}"]).model.artifact == Path(text)

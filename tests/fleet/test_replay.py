"""Dead letters on a real Kafka: looked at, mended by a command, sent again to where they came from."""

import json
import sys

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from undertow.adapters.kafka_admin import ensure_dead_letters, ensure_topic
from undertow.adapters.kafka_dead_letters import KafkaDeadLetters
from undertow.adapters.kafka_replay import ORIGIN, DeadLetter, read_dead_letters
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.schemas.json_codec import encode_json
from undertow.schemas.records import Partition, Record, Reject
from undertow.settings.sections import KafkaSettings

pytestmark = pytest.mark.kafka

MEND = "import json,sys; d=json.load(sys.stdin); d['past']['flow'][0]=0.0; print(json.dumps(d))"


@pytest.fixture
def place(packed, kafka_bootstrap, topic_name, make_windows):
    """A topic whose dead letters are: a null among numbers, twice; no JSON; one that was too large; another topic's."""
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name)
    ensure_topic(kafka, topic_name, partitions=3, config={"max.message.bytes": "1000000"})
    ensure_dead_letters(kafka)
    good = json.loads(encode_json(make_windows(1, 1))[0])
    bad = json.dumps({**good, "past": {**good["past"], "flow": [None, *good["past"]["flow"][1:]]}}).encode()

    def reject(offset: int, value: bytes, reason: str, topic: str = topic_name) -> Reject:
        record = Record(
            partition=Partition(topic, 2), offset=offset, appended_us=5, value=value, key=b"k", headers=(("h", b"1"),)
        )
        return Reject(record=record, reason=reason, detail=f"seen at {offset}")

    letters = KafkaDeadLetters(kafka)
    huge = b"[" * (9 << 20)
    letters.write(
        [
            reject(0, bad, "number"),
            reject(1, b"{", "not-json"),
            reject(2, bad, "number"),
            reject(3, huge, "too-large"),
            reject(4, bad, "number", "elsewhere"),
        ]
    )
    letters.close()

    def run(*arguments: str, columns: int = 200):
        options = [f"--set=kafka.bootstrap={kafka_bootstrap}", f"--set=kafka.topic={topic_name}"]
        command = ["replay", *options, f"--set=model.artifact={packed.artifact}", *arguments]
        return CliRunner().invoke(main, command, env={"COLUMNS": str(columns)})

    return kafka, run


def sent_again(kafka: KafkaSettings):
    """All that the source topic holds: nothing was ever sent there by anyone else."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap)
    partitions = [TopicPartition(kafka.topic, index) for index in range(3)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends, records = consumer.end_offsets(partitions), []
    while len(records) < sum(ends.values()):
        records += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
    consumer.close()
    return records


def test_a_look_changes_nothing_and_says_what_would_be_refused_again(place):
    kafka, run = place
    result = run()
    assert result.exit_code == 1, result.output
    assert "5 dead letters: not-json 1, number 3, too-large 1" in result.output
    said = " ".join(result.output.replace("│", " ").split())
    assert "the topic keeps only its beginning" in said
    assert "it came from the topic elsewhere" in said
    assert "0 would be taken now, 5 refused again" in result.output
    assert sent_again(kafka) == []


def test_a_narrow_terminal_shows_a_block_for_each_letter_and_breaks_no_word(place):
    _, run = place
    shown = run("--reason", "not-json", columns=80).output
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[0] == "1 dead letter: not-json 1"
    assert [line.split()[0] for line in lines[1:6]] == ["refused", "from", "by", "reason", "detail"]
    assert "from         " in shown
    assert "detail       seen at 1" in lines
    assert any(line.startswith("if sent now  not-json: expected ") for line in lines)


def test_all_of_it_is_there_as_json_too(place):
    kafka, run = place
    done = run("--json", "--reason", "number", "--reason", "too-large", columns=40)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert {name: value for name, value in found.items() if name != "letters"} == {
        "taken": 0,
        "refused_again": 4,
        "sent": None,
        "left_out": {"sent_before": 0, "unnamed": {}},
    }
    letters = sorted(found["letters"], key=lambda one: one["offset"])
    assert [(one["topic"], one["partition"], one["offset"], one["reason"]) for one in letters] == [
        (kafka.topic, 2, 0, "number"),
        (kafka.topic, 2, 2, "number"),
        (kafka.topic, 2, 3, "too-large"),
        ("elsewhere", 2, 4, "number"),
    ]
    first = letters[0]
    assert first["detail"] == "seen at 0"
    assert first["refused_again"].startswith("number: ")
    sent = json.loads(run("--json", "--reason", "number", "--pipe", f'{sys.executable} -c "{MEND}"', "--send").stdout)
    assert (sent["taken"], sent["sent"], sent["refused_again"]) == (2, 2, 1)
    assert json.loads(run("--json", "--reason", "number").stdout)["left_out"]["sent_before"] == 2


def test_mended_records_go_back_to_their_partition_with_key_headers_and_origin(place):
    kafka, run = place
    result = run("--reason", "number", "--pipe", f'{sys.executable} -c "{MEND}"', "--send")
    assert result.exit_code == 1  # the one of another topic stays behind
    assert f"sent 2 again to {kafka.topic}; 1 stay" in result.output
    records = sent_again(kafka)
    assert [(r.partition, r.key, dict(r.headers)) for r in records] == [
        (2, b"k", {"h": b"1", ORIGIN: f"{kafka.topic}-2@{offset}".encode()}) for offset in (0, 2)
    ]
    assert all(json.loads(record.value)["past"]["flow"][0] == 0.0 for record in records)


def test_a_record_that_comes_back_keeps_its_first_origin(place):
    kafka, run = place
    letters = KafkaDeadLetters(kafka)
    first = next(one for one in read_dead_letters(kafka) if isinstance(one, DeadLetter) and one.reason == "number")
    headers = (*first.headers, (ORIGIN, b"long ago-1@7"))
    again = Record(partition=first.origin, offset=9, appended_us=5, value=first.value, headers=headers)
    letters.write([Reject(record=again, reason="category", detail="again")])
    letters.close()
    run("--reason", "category", "--pipe", f'{sys.executable} -c "{MEND}"', "--send")
    (record,) = sent_again(kafka)
    assert dict(record.headers)[ORIGIN] == b"long ago-1@7"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--reason", "nonsense"], "no reason 'nonsense'; there are empty, too-large", 2),
        (["--since", "yesterday"], "expected --since and --until as 2026-01-31T12:00:00Z", 2),
        (["--reason", "number", "--pipe", "/no/such/command"], "cannot run the command '/no/such/command' (--pipe)", 1),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(place, arguments, message, code):
    _, run = place
    result = run(*arguments)
    assert result.exit_code == code
    line = result.output.splitlines()[-1]
    assert line.startswith("Error: " if code == 2 else "error: ")
    assert message in line


def test_a_choice_is_by_reason_time_and_number(place):
    _, run = place
    assert "2 dead letters: number 2" in run("--reason", "number", "--limit", "2").output
    assert "0 dead letters" in run("--until", "2020-01-01T00:00:00Z").output
    assert "5 dead letters" in run("--since", "2020-01-01T00:00:00Z").output


def test_a_command_that_fails_leaves_the_record_and_tells_its_last_words(place):
    kafka, run = place
    result = run("--reason", "not-json", "--pipe", f'{sys.executable} -c "{MEND}"', "--send")
    assert "the command ended with 1: json.decoder.JSONDecodeError" in result.output
    assert sent_again(kafka) == []


@pytest.mark.parametrize(
    ("program", "fault"),
    [("", "empty: expected a window, found no value"), ("print('{flow')", "not-json: expected a JSON")],
)
def test_a_command_that_writes_nothing_or_no_window_sends_nothing(place, program, fault):
    kafka, run = place
    result = run("--reason", "number", "--limit", "2", "--pipe", f'{sys.executable} -c "{program}"', "--send")
    assert result.exit_code == 1
    assert fault in " ".join(result.output.replace("│", " ").split())
    assert "sent 0 again" in result.output
    assert sent_again(kafka) == []


def test_what_was_sent_is_not_sent_twice_unless_that_is_said(place):
    kafka, run = place
    mend = ("--reason", "number", "--pipe", f'{sys.executable} -c "{MEND}"')
    run(*mend, "--limit", "1", "--send")
    result = run(*mend, "--send")
    assert f"sent 1 again to {kafka.topic}; 1 stay" in result.output
    assert "1 more is left out, sent already; --again means them too" in result.output
    assert [dict(record.headers)[ORIGIN] for record in sent_again(kafka)] == [
        f"{kafka.topic}-2@{offset}".encode() for offset in (0, 2)
    ]
    assert "2 more are left out, sent already" in run(*mend, "--send").output
    assert len(sent_again(kafka)) == 2
    assert f"sent 2 again to {kafka.topic}" in run(*mend, "--send", "--again").output
    assert len(sent_again(kafka)) == 4


@pytest.mark.kafka
def test_a_topic_that_no_fleet_has_made_yet_is_told_by_its_setting(kafka_bootstrap, topic_name):
    with pytest.raises(Refused, match=f"no dead letters: the topic {topic_name}.rejects .kafka.dead_letters."):
        next(iter(read_dead_letters(KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name))))


def test_a_record_that_was_put_among_the_dead_letters_twice_is_one_letter(place):
    kafka, run = place
    letters = KafkaDeadLetters(kafka)
    first = next(one for one in read_dead_letters(kafka) if isinstance(one, DeadLetter) and one.reason == "not-json")
    record = Record(partition=first.origin, offset=first.origin_offset, appended_us=5, value=first.value, key=first.key)
    letters.write([Reject(record=record, reason="not-json", detail="seen again after a crash")])
    letters.close()
    assert "1 dead letter: not-json 1" in run("--reason", "not-json").output


@pytest.mark.parametrize("reason", ["bomb", "corrupt"])
def test_what_is_no_record_but_bytes_of_the_log_is_not_sent_again(place, reason):
    kafka, run = place
    letters, here = KafkaDeadLetters(kafka), Partition(kafka.topic, 2)
    packed = Record(partition=here, offset=7, appended_us=5, value=b"\x1f\x8b packed")
    letters.write([Reject(record=packed, reason=reason, detail="offsets 7 to 9 are skipped")])
    letters.close()
    result = run("--reason", reason, "--pipe", f'{sys.executable} -c "{MEND}"', "--send")
    assert "the bytes of one or of a batch that could not be unpacked" in " ".join(result.output.split())
    assert sent_again(kafka) == []


def test_what_ended_or_held_up_replicas_is_sent_again_only_by_the_name_of_its_reason(place, make_windows):
    kafka, run = place
    letters, here = KafkaDeadLetters(kafka), Partition(kafka.topic, 1)
    (good,) = encode_json(make_windows(1, 1))
    for offset, reason in enumerate(["kills-replica", "hangs", "kills-replica"]):
        record = Record(partition=here, offset=offset, appended_us=5, value=good)
        letters.write([Reject(record=record, reason=reason, detail="as seen")])
    letters.close()
    result = run("--send")
    assert "5 dead letters: not-json 1, number 3, too-large 1" in result.output
    assert "1 more is left out (hangs: the model did not return" in result.output
    assert "2 more are left out (kills-replica: each replica that took this record died of it)" in result.output
    assert sent_again(kafka) == []
    result = run("--reason", "kills-replica", "--send")
    assert (result.exit_code, f"sent 2 again to {kafka.topic}; 0 stay" in result.output) == (0, True)
    assert "left out" not in result.output
    assert [record.value for record in sent_again(kafka)] == [good, good]


def test_what_another_program_wrote_into_a_letter_is_shown_and_does_nothing_to_the_terminal(place):
    kafka, run = place
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    odd = {"reason": "[/red]", "detail": "\x1b[2J\x1b]0;x\x07\nnext", "topic": "[/]", "artifact": "\x9b", "space": "["}
    producer.send(kafka.dead_letter_topic, b"v", headers=[(f"undertow.{k}", v.encode()) for k, v in odd.items()])
    producer.close()
    result = run("--artifact", "\x9b")
    assert isinstance(result.exception, SystemExit), result.exception
    assert "1 dead letter: [/red] 1" in result.output
    assert r"\x1b[2J\x1b]0;x\x07\nnext" in "".join(result.output.replace("│", " ").split())
    assert not {"\x1b", "\x07", "\x9b"} & {*result.output}

"""`undertow produce` on a real Kafka: what the files hold arrives in every format; dead letters of many windows."""

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import undertow
from undertow.adapters.kafka_admin import describe_topic, ensure_topic
from undertow.adapters.kafka_producer import partition_of
from undertow.adapters.kafka_replay import DeadLetter
from undertow.adapters.kafka_source import KafkaSource
from undertow.artifact.format.manifest import read_manifest
from undertow.cli.main import main
from undertow.commands.produce import pack
from undertow.commands.replay import ReplayTarget, judge
from undertow.commands.sending import Message, play
from undertow.schemas.arrow_codec import encode_arrow
from undertow.schemas.json_codec import encode_json
from undertow.schemas.records import Partition
from undertow.schemas.windows_arrow import windows_to_arrow
from undertow.settings.sections import KafkaSettings, ModelSettings
from undertow.settings.settings import Settings
from undertow.wiring.formats import open_decode, open_encode

MEND = """
import sys, pyarrow as pa, pyarrow.compute as pc
table = pa.ipc.open_stream(sys.stdin.buffer.read()).read_all()
rows = table.to_pylist()
for row in rows:
    row["past"]["flow"] = [0.0 if flow != flow or flow is None else flow for flow in row["past"]["flow"]]
out = pa.BufferOutputStream()
with pa.ipc.new_stream(out, table.schema) as stream:
    stream.write_batch(pa.RecordBatch.from_pylist(rows, schema=table.schema))
sys.stdout.buffer.write(out.getvalue())
"""


@pytest.fixture(scope="session")
def contract(packed):
    return read_manifest(packed.artifact).contract


def write_history(path, windows, contract):
    pq.write_table(windows_to_arrow(windows, contract), path, row_group_size=100)
    return path


def poisoned(windows, row: int):
    flow = windows.past["flow"].copy()
    flow[windows.starts[row]] = np.nan
    return replace(windows, past={**windows.past, "flow": flow})


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
def test_observations_arrive_as_the_windows_that_they_are(packed, contract, kafka_bootstrap, topic_name, tmp_path):
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name)
    rng, steps, names = np.random.default_rng(2), contract.min_length + 3, [column.name for column in contract.past]
    (series,) = contract.series
    rows = {series.name: np.repeat(["p1", "p2"], steps), "event_timestamp": np.tile(np.arange(steps), 2) * 60_000_000}
    rows["event_timestamp"] += 1_750_000_020_000_000
    table = pa.table(rows | {name: rng.normal(size=2 * steps) for name in names})
    pq.write_table(table.take(rng.permutation(2 * steps)), tmp_path / "rows.parquet")
    command = ["produce", str(tmp_path / "rows.parquet"), "--topic", topic_name, "--rate", "1000000"]
    command += [
        "--create-topic",
        "1",
        f"--set=kafka.bootstrap={kafka_bootstrap}",
        f"--set=model.artifact={packed.artifact}",
    ]
    result = CliRunner().invoke(main, [*command, "--set=windows.every=1m"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "rows.parquet holds observations: windows are made of them" in result.output
    made = undertow.windows(table, contract, undertow.WindowSpec(every="1m"))
    assert f"{len(made)} windows sent" in result.output
    source = KafkaSource(kafka, open_decode(kafka, contract))
    source.assign({Partition(topic_name, 0): 0})
    found: list[bytes] = []
    while len(found) < len(made):
        delivery = source.poll(1.0)
        assert delivery is not None
        found += encode_json(delivery.decoded.windows)
    source.close()
    assert found == [value for batch in made.batches() for value in encode_json(batch)]
    result = CliRunner().invoke(main, [*command, "--set=windows.every=30s"], env={"COLUMNS": "200"})
    expected = f"no window could be made: longest run: 1 step of 30s, a window needs {contract.min_length}"
    assert expected in result.output


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("form", ["json", "avro", "arrow"])
def test_what_the_file_holds_arrives_in_the_order_of_each_series_in_one_partition(
    form, packed, contract, make_windows, kafka_bootstrap, topic_name, tmp_path
):
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=topic_name, format=form)
    ensure_topic(kafka, topic_name, partitions=3)
    windows = make_windows(300, 7)
    history = write_history(tmp_path / "history.parquet", poisoned(windows, 8), contract)
    command = ["produce", str(history), "--topic", topic_name, "--format", form, "--rate", "1000000", "--batch", "32"]
    command += [f"--set=kafka.bootstrap={kafka_bootstrap}", f"--set=model.artifact={packed.artifact}"]
    result = CliRunner().invoke(main, command, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert f"299 windows sent to {topic_name} in" in result.output
    said = "1 row refused (number 1), for example row 8 of history.parquet: past.flow[0]: expected a finite number"
    assert said in result.output
    listed = Path(".undertow/produce/history.rejects.jsonl")
    assert f"all refused rows are listed in {listed}" in result.output
    assert [json.loads(line)["row"] for line in listed.read_text().splitlines()] == [8]

    source = KafkaSource(kafka, open_decode(kafka, contract))
    source.assign({Partition(topic_name, index): 0 for index in range(3)})
    found, seen, count = {}, {}, 0
    while sum(map(len, found.values())) < 299:
        delivery = source.poll(1.0)
        assert delivery is not None
        assert delivery.decoded.rejects == ()
        count += len(delivery.records)
        values = encode_json(delivery.decoded.windows)
        pumps = delivery.decoded.windows.series["pump"].tolist()
        for pump, value, at in zip(pumps, values, delivery.decoded.record_of.tolist(), strict=True):
            found.setdefault(pump, []).append(value)
            seen.setdefault(pump, set()).add(delivery.records[at].partition.index)
    source.close()
    assert seen == {pump: {partition_of(pump.encode(), 3)} for pump in found}
    kept = windows.take(np.delete(np.arange(300), 8))
    expected = {}
    for pump, value in zip(kept.series["pump"].tolist(), encode_json(kept), strict=True):
        expected.setdefault(pump, []).append(value)
    assert found == expected
    of_partition = Counter(partition_of(pump.encode(), 3) for pump in kept.series["pump"].tolist())
    assert count == (sum(-(-held // 32) for held in of_partition.values()) if form == "arrow" else 299)


def test_records_are_sent_when_their_last_window_is_due(make_windows, contract):
    now, waited, sent = [100.0], [], []

    def wait(seconds: float) -> None:
        waited.append(round(seconds, 6))
        now[0] += seconds

    encode = open_encode(KafkaSettings(format="arrow"), contract)
    messages = list(pack(make_windows(10, 2), encode, contract, partitions=1, batch=4))
    assert [(message.last, message.windows) for message in messages] == [(3, 4), (7, 4), (9, 2)]
    play(
        messages,
        lambda key, value, partition=None: sent.append((key, len(value) > 0, partition)),
        began=100.0,
        sent=20,
        per_second=10.0,
        clock=lambda: now[0],
        wait=wait,
    )
    assert waited == [2.3, 0.4, 0.2]
    assert sent == [(None, True, 0)] * 3


def test_a_batch_of_one_is_a_keyed_record_for_each_window_in_every_format(make_windows, contract):
    for form in ("json", "avro", "arrow"):
        windows = make_windows(5, 2)
        encode = open_encode(KafkaSettings(format=form), contract)
        messages: list[Message] = list(pack(windows, encode, contract, partitions=4, batch=1))
        assert [message.key for message in messages] == [pump.encode() for pump in windows.series["pump"]]
        assert [message.last for message in messages] == [0, 1, 2, 3, 4]


@pytest.mark.kafka
def test_a_record_that_the_fleet_would_refuse_is_not_sent(
    packed, contract, make_windows, tmp_path, kafka_bootstrap, topic_name
):
    ensure_topic(KafkaSettings(bootstrap=kafka_bootstrap), topic_name, partitions=1)
    history = write_history(tmp_path / "history.parquet", make_windows(64, 1), contract)
    command = ["produce", str(history), "--topic", topic_name, "--format", "arrow", "--set=kafka.max_record_bytes=5000"]
    command += [f"--set=kafka.bootstrap={kafka_bootstrap}", f"--set=model.artifact={packed.artifact}"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "a record of 64 windows takes" in result.output
    assert "--batch" in result.output


@pytest.mark.kafka
@pytest.mark.usefixtures("here")
def test_a_topic_is_made_on_demand_and_rows_that_are_all_refused_are_no_success(
    packed, contract, make_windows, kafka_bootstrap, topic_name
):
    windows = make_windows(40, 2)
    poor = poisoned(replace(windows, end_us=windows.end_us // 1000), 39)  # milliseconds
    settings = [f"--set=kafka.bootstrap={kafka_bootstrap}", f"--set=model.artifact={packed.artifact}"]

    def produce(history: str, *options: str):
        command = ["produce", history, "--topic", topic_name, "--rate", "1000000", *settings, *options]
        return CliRunner().invoke(main, command, env={"COLUMNS": "80"})

    write_history("good.parquet", windows, contract)
    write_history("poor.parquet", poor, contract)
    missing = produce("good.parquet")
    assert missing.exit_code == 1
    assert f"undertow produce HISTORY --topic {topic_name} --create-topic 8" in missing.output
    refused = produce("poor.parquet", "--create-topic", "3")
    assert refused.exit_code == 1, refused.output
    assert f"0 windows sent to {topic_name}" in refused.output
    assert "40 rows refused (event-time 39, number 1), for example row 0 of poor.parquet: end: exp" in refused.output
    assert "as milliseconds it would be 2026-01-01T00:00:00" in refused.output
    listed = [json.loads(line) for line in Path(".undertow/produce/poor.rejects.jsonl").read_text().splitlines()]
    assert [(line["row"], line["reason"]) for line in listed] == [(n, "event-time") for n in range(39)] + [
        (39, "number")
    ]
    sent = produce("good.parquet", "--create-topic", "8")
    assert sent.exit_code == 0, sent.output
    assert f"the topic {topic_name} is there already, with 3 partitions" in sent.output
    assert describe_topic(KafkaSettings(bootstrap=kafka_bootstrap), topic_name).partitions == 3
    assert "40 windows sent" in sent.output
    allowed = produce("poor.parquet", "--set=kafka.event_time.min=1970-01-01T00:00:00Z")
    assert allowed.exit_code == 0
    assert "39 of the windows have event times before 1990 or after next year" in allowed.output
    assert "1 row refused (number 1)" in allowed.output


def test_a_dead_letter_of_many_windows_is_judged_and_mended_as_a_whole(packed, contract, make_windows):
    settings = Settings(kafka=KafkaSettings(format="arrow"), model=ModelSettings(artifact=packed.artifact))
    manifest = read_manifest(packed.artifact)
    letter = DeadLetter(
        partition=Partition("windows.rejects", 0),
        offset=0,
        at_us=0,
        artifact="",
        space="",
        reason="number",
        detail="",
        origin=Partition("windows", 0),
        origin_offset=5,
        value=encode_arrow(poisoned(make_windows(64, 3), 9), contract),
        key=None,
        headers=(),
        is_cut=False,
    )
    takers = [ReplayTarget(manifest=manifest, decode=open_decode(settings.kafka, contract))]
    assert judge(letter, takers, settings, None).fault.startswith("number: row 9: past.flow[0]: expected")
    mended = judge(letter, takers, settings, [sys.executable, "-c", MEND])
    assert mended.fault is None
    assert mended.value != letter.value

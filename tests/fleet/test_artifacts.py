"""Several artifacts on one topic: a real fleet on real stores; each of its spaces is as whole as if it were alone."""

import json
import os
import signal
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer
from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet
from pytorch_forecasting.data import TorchNormalizer

from tests.fleet.one_stream import read_to_end
from tests.packing import pack
from tests.training import quiet_trainer
from undertow.adapters.kafka_admin import committed, end_offsets
from undertow.adapters.kafka_replay import read_dead_letters
from undertow.adapters.offline_parts import read_rows
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.fleet.launch import start
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import Partition, Record
from undertow.wiring.root import stream_recipe
from undertow.wiring.stores import apply_artifact

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

CHECKED = [
    ("kafka", "bootstrap"),
    ("kafka", "topic"),
    ("kafka", "group"),
    ("feast", "repo"),
    ("feast", "config"),
    ("offline", "path"),
]
HOT = 16  # the retrained space of the pumps has only the last step: the first so many numbers of the other


@pytest.fixture(scope="module")
def beside(packed, tmp_path_factory):
    """Two more artifacts: of the same name as `packed`, as if retrained; and one that reads other columns."""
    folder = tmp_path_factory.mktemp("beside")
    taps = {"embedding": "rnn:last"}
    pack(packed.artifact.parent / "model.ckpt", folder / "hot", name="pumps", taps=taps, series=["pump"], trust=True)
    table = pd.DataFrame({"heat": np.random.default_rng(3).normal(size=240).cumsum()})
    table["pump"], table["t"] = np.repeat(["a", "b", "c", "d"], 60), np.tile(np.arange(60), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = TimeSeriesDataSet(
            table,
            time_idx="t",
            group_ids=["pump"],
            target="heat",
            time_varying_unknown_reals=["heat"],
            target_normalizer=TorchNormalizer(),
            min_encoder_length=4,
            max_encoder_length=12,
            max_prediction_length=2,
        )
        model = RecurrentNetwork.from_dataset(dataset, hidden_size=8)
        trainer = quiet_trainer(max_steps=1)
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=16, num_workers=0))
    trainer.save_checkpoint(folder / "heat.ckpt")
    pack(folder / "heat.ckpt", folder / "heat", name="heaters", taps={"embedding": "rnn:mean"}, trust=True)
    return folder / "hot", folder / "heat"


@pytest.fixture
def place(make_place, packed, beside):
    """A place whose fleet serves all three; the service `pumps` shows the first of its two spaces."""
    return make_place(partitions=4, artifacts=(packed.artifact, *beside))


def spaces(settings):
    return [read_manifest(path).space for path in settings.model.artifacts]


def views(settings):
    return [read_manifest(path).view().view for path in settings.model.artifacts]


def mixed(windows, seed=5):
    """Records of three kinds in turn: with all columns; without `heat`, so of pumps only; without `head`."""
    rng = np.random.default_rng(seed)
    documents = [json.loads(value) for value in encode_json(windows)]
    for number, document in enumerate(documents):
        past = document["past"]
        if number % 3 != 1:
            past["heat"] = rng.normal(size=len(past["flow"])).tolist()
        if number % 3 == 2:
            del past["head"]
    return [json.dumps(document).encode() for document in documents]


def send(place, values, pumps):
    producer = KafkaProducer(bootstrap_servers=place.bootstrap, linger_ms=5)
    for pump, value in zip(pumps, values, strict=True):
        producer.send(place.settings.kafka.topic, value, partition=int(pump[1:]) % 4)
    producer.flush()
    producer.close()


def embed_directly(artifact, values):
    """By the artifact alone, in this process."""
    records = [
        Record(partition=Partition("t", 0), offset=n, appended_us=0, value=value) for n, value in enumerate(values)
    ]
    decoded = decode_json(records, contract=read_manifest(artifact).contract, max_record_bytes=1 << 20)
    assert not decoded.rejects
    return load(artifact, device="cpu").embed(decoded.windows).embeddings.features["embedding"]


def rows_of(settings, view):
    table = read_rows(settings.offline.path / view).to_pandas()
    return table.sort_values("event_timestamp", ignore_index=True)


def wait_until(fleet, holds):
    """Look at the fleet until it is as it should be: the only clock here is the limit after which the test fails."""
    give_up_at = time.monotonic() + 180
    while not holds(status := fleet.status()):
        assert status.state != "failed", status.message
        assert time.monotonic() < give_up_at, status.to_json()
        time.sleep(0.05)
    return status


def is_read_to_the_end(settings):
    """Whether each artifact's group has committed the topic's end as it is now: a lag knows the end of a moment ago."""
    groups = [settings.kafka.model_copy(update={"group": f"{settings.kafka.group}.{view}"}) for view in views(settings)]
    ends = end_offsets(settings.kafka, stream_recipe(settings).partitions)
    return all(committed(group, ends) == ends for group in groups)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(400)
def test_three_artifacts_of_one_topic_are_each_whole_though_a_replica_is_killed(place, packed, beside, make_windows):
    windows = make_windows(6_000, pumps=120)
    values, pumps = mixed(windows), windows.series["pump"]
    kinds = np.arange(len(values)) % 3
    settings = place.settings
    fleet = start(stream_recipe(settings))
    try:
        send(place, values[:3000], pumps[:3000])
        status = wait_until(fleet, lambda s: s.counts.windows > 1_500)
        victim = max(status.replicas, key=lambda replica: replica.counts.windows)
        os.kill(victim.pid, signal.SIGKILL)
        send(place, values[3000:], pumps[3000:])
        status = wait_until(
            fleet, lambda s: s.failovers == 1 and len(s.replicas) == 2 and s.lag == 0 and is_read_to_the_end(settings)
        )
        told = {one["artifact"]: one for one in status.to_json()["artifacts"]}
        assert [one["lag"] for one in told.values()] == [0, 0, 0]
        assert fleet.drain_and_wait(60).state == "drained"
    finally:
        fleet.remove()

    whole, hot, heat = spaces(settings)
    reference = packed.reference(windows)
    of_heat = embed_directly(beside[1], [values[n] for n in np.flatnonzero(kinds != 1)])
    for view, fits, expected in zip(
        views(settings),
        (kinds != 2, kinds != 2, kinds != 1),
        (reference[kinds != 2], reference[kinds != 2][:, :HOT], of_heat),
        strict=True,
    ):
        rows = rows_of(settings, view)
        assert rows["event_timestamp"].astype("int64").tolist() == windows.end_us[fits].tolist()
        assert rows["pump"].tolist() == pumps[fits].tolist()
        np.testing.assert_allclose(np.stack(rows["embedding"]), expected, atol=1e-6, rtol=1e-6)
    letters = {(letter.space, letter.value) for letter in read_dead_letters(settings.kafka)}
    without_heat, without_head = ({values[n] for n in np.flatnonzero(kinds == kind)} for kind in (1, 2))
    assert letters == {(heat, v) for v in without_heat} | {(space, v) for space in (whole, hot) for v in without_head}
    assert is_read_to_the_end(settings)

    def look(name, pump):
        options = [f"--set=feast.{key}={value}" for key, value in settings.feast.model_dump().items()]
        found = json.loads(CliRunner().invoke(main, ["get", name, f"pump={pump}", "--json", *options]).output)
        return np.array(found["features"]["embedding"])

    newest = {"p000": 5880, "p001": 5881}  # of the kinds 0 and 1: all columns, and without heat
    for pump, number in newest.items():
        np.testing.assert_allclose(look("pumps", pump), reference[number], atol=1e-6)
        np.testing.assert_allclose(look(f"pumps__{hot[:8]}", pump), reference[number, :HOT], atol=1e-6)
    fitting = np.flatnonzero(kinds != 1).tolist()
    np.testing.assert_allclose(look("heaters", "p000"), of_heat[fitting.index(5880)], atol=1e-6)


def test_an_artifact_put_beside_another_begins_at_the_beginning_and_the_other_goes_on(place, packed, make_windows):
    windows = make_windows(300, pumps=8)
    send(place, encode_json(windows), windows.series["pump"])
    alone = place.settings.model.model_copy(update={"artifact": packed.artifact})
    assert read_to_end(stream_recipe(place.settings.model_copy(update={"model": alone}))).windows == 300
    send(place, encode_json(windows)[:10], windows.series["pump"][:10])
    together = stream_recipe(place.settings)
    assert [read_to_end(together, index).windows for index in range(2)] == [10, 310]
    send(place, encode_json(windows)[:5], windows.series["pump"][:5])
    assert read_to_end(stream_recipe(place.settings.model_copy(update={"model": alone}))).windows == 5


def test_what_several_artifacts_refused_is_shown_by_artifact_and_sent_once(place, make_windows):
    (value,) = encode_json(make_windows(1, pumps=1))
    document = json.loads(value)
    document["past"]["flow"][0] = None
    send(place, [value, json.dumps(document).encode()], ["p000", "p000"])
    recipe = stream_recipe(place.settings)
    assert [read_to_end(recipe, index).windows for index in range(3)] == [1, 1, 0]

    def replay(*arguments):
        options = {"kafka.bootstrap": place.bootstrap, "kafka.topic": place.settings.kafka.topic}
        artifacts = json.dumps([str(path) for path in place.settings.model.artifacts])
        command = ["replay", *(f"--set={key}={value}" for key, value in options.items()), *arguments]
        result = CliRunner().invoke(main, [*command, f"--set=model.artifact={artifacts}"], env={"COLUMNS": "250"})
        return " ".join(result.output.split())

    mend = r"""python3 -c "import sys; print(sys.stdin.read().replace('null', '0'))" """
    shown = replay("--pipe", mend)
    assert "4 dead letters: columns 2, number 2" in shown
    assert all(f"│ {one.manifest.view().view} │" in shown for one in recipe.artifacts)
    assert "2 would be taken now, 2 refused again" in shown  # the columns that the heaters want are in neither record
    assert "2 dead letters: columns 2" in replay("--artifact", "heaters")
    assert "2 dead letters: number 2" in replay("--artifact", "pumps")
    assert "1 dead letter: number 1" in replay("--artifact", recipe.artifacts[1].manifest.view().view)
    assert f"sent 1 again to {place.settings.kafka.topic}" in replay("--artifact", "pumps", "--pipe", mend, "--send")
    assert [read_to_end(recipe, index).windows for index in range(2)] == [1, 1]


def test_check_looks_at_each_artifact_and_names_the_groups_they_commit_to(place):
    sections = {name: place.settings.model_dump()[name] for name in ("kafka", "feast", "offline")}
    given = {f"{name}.{key}": sections[name][key] for name, key in CHECKED}
    given["model.artifact"] = json.dumps([str(path) for path in place.settings.model.artifacts])
    result = CliRunner().invoke(main, ["check", *(f"--set={key}={value}" for key, value in given.items())])
    assert result.exit_code == 0, result.output
    served = views(place.settings)
    assert [line.split(",")[0] for line in result.output.splitlines() if line.startswith("ok      artifact: ")] == [
        f"ok      artifact: {view}" for view in served
    ]
    groups = ", ".join(f"{place.settings.kafka.group}.{view}" for view in served)
    assert f"ok      group: {groups} are free" in result.output.splitlines()
    assert all(f"ok      online store: redis, view {view}" in result.output for view in served)


def test_several_artifacts_that_cannot_be_told_apart_are_refused(place, packed, beside):
    def refused(call, **changes):
        parts = {part: getattr(place.settings, part).model_copy(update=update) for part, update in changes.items()}
        with pytest.raises(Refused) as error:
            call(place.settings.model_copy(update=parts))
        return str(error.value)

    twice = {"artifact": (packed.artifact, packed.artifact)}
    assert "found the same one twice" in refused(stream_recipe, model=twice)
    assert "need the offline log (offline.enabled = true)" in refused(stream_recipe, offline={"enabled": False})
    told = refused(
        lambda settings: apply_artifact(settings, promote=True), model={"artifact": (packed.artifact, beside[0])}
    )
    assert f"--promote --set model.artifact={beside[0]}" in told

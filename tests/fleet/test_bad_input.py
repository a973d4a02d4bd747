"""Everything that a producer can get wrong, among good windows, through a real Kafka into a real Redis."""

import json
import warnings
from collections import Counter

import lightning
import numpy as np
import pandas as pd
import pytest
import torch
from feast import FeatureStore
from kafka import KafkaProducer
from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet
from pytorch_forecasting.data import TorchNormalizer

from tests.fleet.one_stream import read_to_end
from tests.packing import pack
from tests.training import quiet_trainer
from undertow.adapters.kafka_admin import committed, end_offsets
from undertow.adapters.kafka_dead_letters import KEY
from undertow.adapters.offline_chains import chains
from undertow.adapters.offline_parts import read_rows
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.schemas.json_codec import encode_json
from undertow.schemas.records import Partition
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

STEPS = {"flow": [1.0, 2.5, -3.0, 4.0], "head": [0.5, 0.25, 7.0, 1.0]}
NOW = "2026-07-01T12:00:00Z"


def window(*, pump="bad", end=NOW, **past):
    """The text of a window that is good but for what is given."""
    series = {} if pump is None else {"pump": pump}
    return json.dumps({"series": series, "end": end, "past": {**STEPS, **past}}).encode()


def only(**past):
    return json.dumps({"series": {"pump": "bad"}, "end": NOW, "past": past}).encode()


HEADERS = [("trace", b"\x00\xff"), ("trace", b"again")]
FINITE = "a finite number within float32"
ISO = "ISO 8601 to the microsecond with a zone"
# what is wrong: the value, the reason to be counted by, and what the detail must say
BAD = {
    "not JSON": (b"{flow: 1", "not-json", ["expected a JSON object"]),
    "not even text": (b"\xff\x00\xfe", "not-json", ["expected a JSON object"]),
    "JSON, but a list": (b"[1, 2, 3]", "not-json", ["expected a JSON object", "found a list"]),
    "nested without end": (b"[" * 100_000, "not-json", ["expected a JSON object"]),
    "a column is missing": (only(flow=[1, 2, 3, 4]), "columns", ["past.head", "found nothing"]),
    "a column is misspelt": (only(flow=[1, 2, 3, 4], haed=[1, 2, 3, 4]), "columns", ["past.head", "found nothing"]),
    "a column is a number": (window(head=3), "columns", ["past.head", "expected a list, found 3"]),
    "columns of unequal length": (window(head=[1, 2, 3, 4, 5]), "length", ["past.head", "4 steps", "found 5"]),
    "too short": (window(flow=[1, 2, 3], head=[1, 2, 3]), "length", ["past: ", "4 to 12 steps", "found 3"]),
    "too long": (window(flow=[1] * 13, head=[1] * 13), "length", ["past: ", "4 to 12 steps", "found 13"]),
    "NaN": (window(flow=[1, 2, float("nan"), 4]), "number", ["past.flow[2]", FINITE, "found NaN"]),
    "Infinity": (window(head=[float("inf"), 2, 3, 4]), "number", ["past.head[0]", FINITE, "found Infinity"]),
    "null": (window(flow=[1, None, 3, 4]), "number", ["past.flow[1]", FINITE, "found null"]),
    "beyond float32": (window(flow=[1, 2, 3, 1e39]), "number", ["past.flow[3]", FINITE, "found 1e+39"]),
    "beyond float64": (window().replace(b"2.5", b"1e999"), "number", ["past.flow[1]", FINITE]),
    "infinite once scaled": (window(head=[3e38] * 4), "inputs", ["head", "finite once", "scaled"]),
    "id missing": (window(pump=None), "series", ["series.pump", "a string", "found nothing"]),
    "id of the wrong type": (window(pump=7), "series", ["series.pump", "a string", "found 7"]),
    "end without a zone": (window(end="2026-07-01T12:00:00"), "end", [ISO, "2026-07-01T12:00:00"]),
    "end in the year 9999": (window(end="9999-12-31T00:00:00Z"), "end", ["within the years 1900 to 9998", "9999-12"]),
    "tombstone": (None, "empty", ["expected a window, found no value"]),
    "no bytes": (b"", "empty", ["expected a window, found no value"]),
    "5 MB": (window(note="x" * 5_000_000), "too-large", ["kafka.max_record_bytes", "at most 1048576 bytes"]),
}


def send(place, records):
    """Append (partition, key, value) in this order, each with two headers; return where they are."""
    producer = KafkaProducer(bootstrap_servers=place.bootstrap, linger_ms=5, max_request_size=16 << 20)
    topic = place.settings.kafka.topic
    sent = [producer.send(topic, value, key=key, headers=HEADERS, partition=p) for p, key, value in records]
    where = [future.get(timeout=30) for future in sent]
    producer.close()
    return where


def walk(settings):
    """Read the whole topic with one replica's stream, a few records at a time; return its counts."""
    settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"max_batch": 16})})
    recipe = stream_recipe(settings)
    counts = read_to_end(recipe)
    ends = end_offsets(settings.kafka, recipe.partitions)
    assert committed(settings.kafka, recipe.partitions) == ends
    assert [
        chain.next for chain in chains(view_folder(settings.offline.path, recipe.artifacts[0].manifest.view()))
    ] == [end for _, end in sorted(ends.items())]
    return counts


def offline_rows(settings):
    """All rows, in the order of their records."""
    table = read_rows(view_folder(settings.offline.path, read_manifest(settings.model.artifact).view()))
    return table.to_pandas().sort_values(["origin_partition", "origin_offset"], ignore_index=True)


def online_rows(settings, service, pumps):
    store = FeatureStore(repo_path=str(settings.feast.repo), fs_yaml_file=settings.feast.repo / settings.feast.config)
    rows = [{"pump": pump} for pump in pumps]
    return store.get_online_features(store.get_feature_service(service), entity_rows=rows).to_dict()["embedding"]


def newest_of(windows):
    """The row of each pump's newest window."""
    return (
        pd.Series(windows.end_us, index=windows.series["pump"]).groupby(level=0).max().map(windows.end_us.searchsorted)
    )


def assert_close(found, expected):
    np.testing.assert_allclose(np.array([*found], np.float32), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.timeout(120)
def test_each_bad_record_becomes_one_dead_letter_while_the_good_ones_arrive_twice_and_out_of_order(
    make_place, make_windows, packed
):
    place = make_place(partitions=2, topic_config={"max.message.bytes": str(8 << 20)})
    windows = make_windows(60, pumps=6)
    # Shuffled; then the newest six and the oldest ten again: what comes last is old.
    order = [*np.random.default_rng(3).permutation(60), *range(54, 60), *range(10)]
    values = encode_json(windows)
    records = [(n % 2, b"good", values[row]) for n, row in enumerate(order)]
    for n, (name, (value, _, _)) in enumerate(BAD.items()):
        records.insert(4 * n + 2, (n % 2, name.encode(), value))
    sent = send(place, records)
    counts = walk(place.settings)

    letters = Partition(place.settings.kafka.dead_letter_topic, 0)
    assert end_offsets(place.settings.kafka, [letters]) == {letters: len(BAD)}
    found = {dict(letter.headers)[KEY].decode(): letter for letter in place.dead_letters(len(BAD))}
    sent_at = {key.decode(): at for (_, key, _), at in zip(records, sent, strict=True)}
    assert found.keys() == BAD.keys()
    for name, (value, reason, words) in BAD.items():
        letter, at = found[name], sent_at[name]
        told = [(header, text.decode()) for header, text in letter.headers[2:] if header != KEY]
        detail = dict(told)["undertow.detail"]
        assert letter.value == (value or b""), name
        assert letter.headers[:2] == HEADERS, name
        assert told == [
            ("undertow.reason", reason),
            ("undertow.detail", detail),
            ("undertow.topic", place.settings.kafka.topic),
            ("undertow.partition", str(at.partition)),
            ("undertow.offset", str(at.offset)),
            ("undertow.timestamp_us", str(at.timestamp * 1000)),
            ("undertow.artifact", "pumps"),
            ("undertow.space", read_manifest(packed.artifact).space),
        ], name
        assert [word for word in words if word not in detail] == [], (name, detail)
    assert counts.rejects == Counter(reason for _, reason, _ in BAD.values())
    assert counts.windows == len(order)

    reference, newest = packed.reference(windows), newest_of(windows)
    assert_close(online_rows(place.settings, "pumps", newest.index), reference[newest])
    assert online_rows(place.settings, "pumps", ["bad"]) == [None]
    rows = offline_rows(place.settings)  # a log: a row for each record, the same vector where a window came twice
    good = [at for (_, key, _), at in zip(records, sent, strict=True) if key == b"good"]
    by_place = sorted((at.partition, at.offset, row) for at, row in zip(good, order, strict=True))
    assert [*zip(rows["origin_partition"], rows["origin_offset"], strict=True)] == [(p, o) for p, o, _ in by_place]
    assert_close(rows["embedding"], reference[[row for *_, row in by_place]])


# A model with a category ---------------------------------------------------------------------------------------------


def train_with_sites(folder):
    """Pack a small model that knows the sites a and b; return the artifact, the model, its data set and its table."""
    lightning.seed_everything(5, verbose=False)
    table = pd.DataFrame({"flow": np.random.default_rng(2).normal(size=120), "pump": np.repeat(["p0", "p1"], 60)})
    table["t"], table["site"] = np.tile(np.arange(60), 2), np.repeat(["a", "b"], 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = TimeSeriesDataSet(
            table,
            time_idx="t",
            group_ids=["pump"],
            target="flow",
            time_varying_unknown_reals=["flow"],
            static_categoricals=["site"],
            target_normalizer=TorchNormalizer(),
            max_encoder_length=6,
            max_prediction_length=2,
        )
        model = RecurrentNetwork.from_dataset(dataset, hidden_size=8)
        trainer = quiet_trainer(max_steps=2)
        trainer.fit(model, dataset.to_dataloader(train=True, batch_size=16, num_workers=0))
    trainer.save_checkpoint(folder / "model.ckpt")
    pack(folder / "model.ckpt", folder / "artifact", name="sites", taps={"embedding": "rnn:last"}, trust=True)
    return folder / "artifact", model.eval(), dataset, table


@pytest.mark.timeout(120)
def test_a_category_that_the_model_was_not_trained_with_is_refused_and_its_neighbours_are_embedded(
    make_place, tmp_path
):
    artifact, model, dataset, table = train_with_sites(tmp_path)
    place = make_place(partitions=1, artifacts=[artifact])
    settings = place.settings
    last = table.groupby("pump", sort=True).tail(8).groupby("pump", sort=True).head(6)  # the last two are the future
    documents = [
        {
            "series": {"pump": pump},
            "end": NOW,
            "past": {"flow": [*rows["flow"]]},
            "static": {"site": rows["site"].iloc[0]},
        }
        for pump, rows in last.groupby("pump", sort=True)
    ]
    strange = {**documents[0], "series": {"pump": "p2"}, "static": {"site": "atlantis"}}
    values = [json.dumps(document).encode() for document in (documents[0], strange, documents[1])]
    send(place, [(0, b"good", value) for value in values])
    walk(settings)

    (letter,) = place.dead_letters(1)
    told = dict(letter.headers)
    assert (letter.value, told["undertow.reason"]) == (values[1], b"category")
    assert told["undertow.detail"] == (
        b'static.site: expected one of the 2 categories the model was trained with, found "atlantis"'
    )
    caught = []
    handle = model.rnn.register_forward_hook(lambda _module, _inputs, output: caught.append(output[0]))
    x, _ = next(iter(TimeSeriesDataSet.from_dataset(dataset, table, predict=True).to_dataloader(train=False)))
    with torch.inference_mode():
        model(x)
    handle.remove()
    assert_close(online_rows(settings, "sites", ["p0", "p1"]), caught[0][:, -1].numpy())
    assert online_rows(settings, "sites", ["p2"]) == [None]

"""What users write, with the types they get: `make lint` checks it as strictly as our own code; nothing runs it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

import undertow
from undertow import testing


def embed(frame: object) -> None:
    with undertow.load("artifact", device="cpu", code=["mine"]) as embedder:
        assert_type(embedder, undertow.ArtifactEmbedder)
        assert_type(embedder.name, str)
        assert_type(embedder.features, Mapping[str, int])
        result = embedder.embed(frame)
    assert_type(result, undertow.Result)
    assert_type(result["hidden"], NDArray[np.float32])
    assert_type(result.faults, tuple[undertow.Fault, ...])
    assert_type(result.faults[0].row, int)
    assert_type(result.space, str)


def train(labels: object) -> None:
    training = undertow.training_frame(labels, features=["hidden"], tolerance=timedelta(hours=6))
    assert_type(training, undertow.TrainingFrame)
    assert_type(training["hidden"], NDArray[np.float32])
    assert_type(training.found, NDArray[np.bool_])


def read(series: Sequence[str]) -> None:
    with undertow.Reader("feature_repo", name="pumps") as reader:
        found = reader.get(series, max_age=timedelta(hours=1))
    assert_type(found, undertow.Vectors)
    assert_type(found["hidden"], NDArray[np.float32])
    assert_type(found.vectors, NDArray[np.float32])


async def read_soon(series: Sequence[str]) -> None:
    async with undertow.AsyncReader("redis://localhost", name="pumps") as reader:
        assert_type(await reader.get(series), undertow.Vectors)


def pack() -> None:
    assert_type(undertow.pack("model.toml", name="pumps", taps={"hidden": "rnn:last"}), Path)
    undertow.pack(
        Path("model.ckpt"), name="pumps", taps={"hidden": undertow.Feature.parse("rnn:last")}, series=["site"]
    )


def tap(model: nn.Module, x: Tensor) -> None:
    feature = undertow.Feature.parse("0:mean+max")
    assert_type(feature, undertow.Feature)
    with undertow.Taps(model, [feature.tap]) as taps:
        maps = taps.run(x)[feature.tap]
    assert_type(maps, Tensor)
    assert_type(undertow.pool(maps, feature.pools), Tensor)


def observe(rows: object, embedder: undertow.ArtifactEmbedder) -> None:
    spec = undertow.WindowSpec(every="1h", fill={"flow": "forward", "head": 0.0}, max_gap="2h", calendar={"h": "hour"})
    made = undertow.windows(rows, "artifact", spec, known=rows)
    assert_type(made, undertow.Windows)
    assert_type(undertow.windows(rows, embedder, {"every": "1h"}), undertow.Windows)
    assert_type(len(made), int)
    assert_type(next(made.batches()), undertow.WindowBatch)
    assert_type(made.faults, tuple[undertow.Fault, ...])
    assert_type(embedder.embed(made), undertow.Result)


def ask_for_forgiveness() -> None:
    try:
        undertow.load("artifact")
    except (undertow.Refused, undertow.Unavailable) as error:
        assert_type(error, undertow.Refused | undertow.Unavailable)


def survey(model: nn.Module, x: Tensor) -> None:
    fired = undertow.taps(model, x)
    assert_type([info.paths for info in fired], list[tuple[str, ...]])
    read = undertow.taps("model.ckpt", series=["site"], trust=True)
    assert_type([layer.paths for layer in read.layers], list[tuple[str, ...]])


def in_memory(decode: Callable[[Sequence[testing.Record]], testing.Decoded]) -> None:
    broker, partition = testing.MemoryBroker(), testing.Partition("windows", 0)
    assert_type(broker.append(partition, b"{}", key=b"s0"), int)
    source = testing.MemorySource(broker, decode, polls=[None, undertow.Unavailable("away"), testing.Crash()])
    assert_type(source.assign({partition: None})[partition], int)
    store, refused = testing.MemoryOnline(writes=[undertow.Unavailable("away")]), testing.MemoryDeadLetters()
    assert_type(store.rows, dict[tuple[object, ...], testing.OnlineRow])
    refused.write([testing.Reject(record=one, reason="not-json", detail="") for one in records(partition)])
    log = testing.MemoryOfflineLog(testing.MemoryChains())
    assert_type(log.end(partition), int | None)


def records(partition: testing.Partition) -> Sequence[testing.Record]:
    return [testing.Record(partition=partition, offset=0, appended_us=0, value=b"{}")]

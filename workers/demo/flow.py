"""`undertow demo`: the whole job on real data, from a real Kafka to a table and a picture.

In: a folder for its state, a console. Out: what it prints, and `space.png`. Composes the rooms and decides nothing.
"""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from undertow.adapters.kafka_admin import ensure_topic
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.run import run as run_backfill
from undertow.core.errors import Refused
from undertow.core.extras import require_extras
from undertow.demo.classify import compare, feature_sets
from undertow.demo.follow import DemoReader, open_reader
from undertow.demo.picture import draw
from undertow.demo.repo import copy_repo, own_settings, require_repo
from undertow.demo.streaming import stream
from undertow.demo.table import comparison
from undertow.demo.train import TrainRecipe, checkpoint_path, quiet, train
from undertow.demo.watch import Labelled, Recording, label, load_recordings, observations, split
from undertow.devstack.stack import ephemeral
from undertow.ray_session.session import ray_session
from undertow.settings.settings import Settings, load
from undertow.wiring.stores import apply_artifact

NAME, VECTORS = "watch", "vectors.npz"
TAPS = {"newest": "rnn#1", "steps": "rnn:mean+max"}
"""The network forecasts each step from the one before, so its encoder has not seen the newest step of a window. The
first step of its decoder has, which `undertow taps` suggests; the mean and the maximum are over the encoder's."""
PARTITIONS = 12
"""Twice the arms: the hash of six keys falls on few of six partitions."""
READINGS_PER_SECOND = 1800.0
"""Live, six arms make 150: the recordings are played twelve times as fast."""
Embeddings = NDArray[np.floating]


def run_flow(state: Path, console: Console) -> None:
    """Run the demonstration. The model and the artifact in `state` stay for the next run, which makes the rest anew."""
    require_extras("the demo", "demo")
    require_repo(load().feast.repo)  # before the minute of training
    state, began = state.absolute(), time.monotonic()
    try:
        with _interruptible():
            with _step(console, "ten wearers, seven exercises: 25 readings a second from seglearn's watch data"):
                known, unseen = split(load_recordings())
            artifact = make_artifact(state, known, console)
            run_on_servers(state, artifact, known, unseen, console)
    except KeyboardInterrupt:
        message = "interrupted: everything that the demo had started is stopped"
        raise Refused(message) from None
    console.print(f"all of it took {time.monotonic() - began:.0f} s", highlight=False)


def make_artifact(state: Path, recordings: tuple[Recording, ...], console: Console) -> Path:
    """Train and pack, unless an earlier run did."""
    recipe = TrainRecipe()
    artifact = state / f"artifact-{recipe.key}-{'-'.join(TAPS)}-{version('undertow')}"
    if artifact.exists():
        console.print(f"  the model of an earlier run: {checkpoint_path(state, recipe)}", highlight=False)
        return artifact
    what = f"an LSTM, trained on {recipe.batches} batches of the known wearers, without any label"
    with _step(console, what, spins=False):
        checkpoint = train(recordings, state, recipe, console)
    with _step(console, "the artifact: certified, tapped at the LSTM's hidden states, safe to load"):
        from undertow.artifact.pack.packer import pack  # noqa: PLC0415 - a repeated run need not import torch

        with quiet():
            pack(checkpoint, artifact, name=NAME, taps=TAPS, series=("wearer", "side"), trust=True)
    return artifact


def run_on_servers(
    state: Path, artifact: Path, learnt: tuple[Recording, ...], live: tuple[Recording, ...], console: Console
) -> None:
    """Do all that needs Kafka and Redis: backfill, stream, and read as another team would."""
    folder, contract = state / "run", read_manifest(artifact).contract
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as servers:
        with _step(console, "Kafka and Redis, real ones, for the time of this run"):
            stack = servers.enter_context(ephemeral(state / "stack"))
        settings = own_settings(folder, artifact=artifact, bootstrap=stack.bootstrap, topic=f"watch-{time.time_ns():x}")
        with _step(console, "the Feast views of the space, in a repository of the demo's own"):
            copy_repo(load().feast.repo, settings.feast.repo, stack.redis)
            apply_artifact(settings)
        ensure_topic(settings.kafka, settings.kafka.topic, partitions=PARTITIONS)
        known, unseen = (label(recordings, contract, settings.windows.spec()) for recordings in (learnt, live))
        history = folder / "readings.parquet"
        known.readings.to_parquet(history, write_page_checksum=True)
        reader = servers.enter_context(start_reader(settings, folder, known, unseen))  # it loads Feast meanwhile
        servers.enter_context(ray_session(settings.fleet, replicas=settings.fleet.replicas))
        with _step(console, "the known wearers' history, backfilled", spins=False):
            run_backfill(settings, history, console)
        stream_to_reader(settings, reader, unseen, console)
    with np.load(folder / VECTORS) as arrays:
        vectors = arrays["history"], arrays["truth"]
    report(state, known, unseen, vectors, console)


def start_reader(
    settings: Settings, folder: Path, known: Labelled, unseen: Labelled
) -> AbstractContextManager[DemoReader]:
    """Start the process that knows only Feast; it is given the labels, and writes all features as it joined them."""
    files = {name: folder / f"{name}.parquet" for name in ("history", "truth")}
    known.labels.to_parquet(files["history"])
    unseen.labels.to_parquet(files["truth"])
    log = folder / "reader.log"
    return open_reader(repo=settings.feast.repo, service=NAME, vectors=folder / VECTORS, log=log, **files)


def stream_to_reader(settings: Settings, reader: DemoReader, unseen: Labelled, console: Console) -> None:
    """Stream the unseen wearers' readings, of which replicas make windows, to the reader."""
    what = f"{len(unseen.readings):,} readings of unseen wearers: Kafka, two replicas, Feast, a reader"
    with _step(console, what, spins=False):
        reader.begin()
        streamed = stream(settings, unseen, reader, console, per_second=READINGS_PER_SECOND)
        with console.status("the reader joins all features with all labels, point-in-time"):
            reader.finish()
    console.print(f"  {streamed.summary()}", highlight=False)


def report(
    state: Path,
    known: Labelled,
    unseen: Labelled,
    vectors: tuple[Embeddings, Embeddings],
    console: Console,
) -> None:
    """Compare four sets of features on the unseen wearers, and draw the space."""
    with _step(console, "four sets of features, compared"):
        sets = [
            feature_sets(observations(part.windows), embeddings)
            for part, embeddings in zip((known, unseen), vectors, strict=True)
        ]
        scores = compare(
            sets[0],
            known.labels["exercise"].to_numpy(),
            known.labels["wearer"].to_numpy(),
            sets[1],
            unseen.labels["exercise"].to_numpy(),
        )
    wearers = unseen.labels["wearer"].nunique()
    with _step(console, "the picture of the space"):
        by_name = {score.features: score.accuracy for score in scores}
        picture = draw(
            sets[1]["embedding"],
            unseen.labels["exercise"].tolist(),
            state / "space.png",
            title="What an LSTM that only forecasts has learnt of seven exercises",
            subtitle=(
                f"Hidden states for {len(unseen.windows):,} windows of {wearers} wearers it has never seen; "
                f"an exercise is told from them with accuracy {by_name['embedding']:.2f}, from mean and std with "
                f"{by_name['mean and std of the window']:.2f}"
            ),
        )
    console.print(comparison(scores, windows=len(unseen.windows), wearers=wearers))
    console.print(f"picture: {picture}", highlight=False, soft_wrap=True)


@contextmanager
def _step(console: Console, what: str, *, spins: bool = True) -> Iterator[None]:
    began = time.monotonic()
    if spins:
        with console.status(what):
            yield
    else:
        console.print(f"  {what}", highlight=False)
        yield
    took = f"{time.monotonic() - began:.1f} s"
    console.print(Text.assemble(("✓", "green"), f" {what} ", (took, "dim")))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that nothing is left behind.

    Ctrl-C does so too where a script has started the demo in the background, which is to begin with SIGINT ignored.
    """
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, before in handlers.items():
            signal.signal(number, before)

"""Run a backfill: history through the same embedder as the stream, on any number of actors, resumable.

In: a recipe, and how an actor gets its tools from plain data. Out: a `BackfillReport`; the rows stay with the actors.
Knows no settings file and no model. Ray must have been joined or started before.
"""

import contextlib
import json
import logging
import re
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext

from undertow.adapters.offline_files import publish, sweep
from undertow.backfill.attempts import Attempts
from undertow.backfill.begin import begin_run
from undertow.backfill.chunk_counts import ChunkCounts
from undertow.backfill.chunks import WHOLE, Chunk, FileFault, cut
from undertow.backfill.digests import Digests
from undertow.backfill.done import find_done
from undertow.backfill.embed import BackfillRecipe, BackfillTools, ChunkEmbedder
from undertow.backfill.history_files import history_folder
from undertow.backfill.stall import StallWatch
from undertow.core.errors import Refused, UndertowError, WrongUsage
from undertow.settings.sections import BackfillSettings
from undertow.stream.ports import Clock

log = logging.getLogger(__name__)

OpenTools = Callable[[], BackfillTools]
"""Called inside each actor. It travels there, so it must be a function of an importable module, or a `partial` of one
over plain data."""

OnChunks = Callable[[int, int, int], None]
"""A function of (chunks done, all chunks, windows embedded by this run)."""

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """The result of a run."""

    chunks: int
    """How many chunks the history has."""
    skipped: int
    """How many of them an earlier run had done."""
    rows: int = 0
    """How many rows, windows or observations, the others have."""
    seconds: float
    counts: ChunkCounts = field(default_factory=ChunkCounts)
    """Of the chunks that this run has done."""
    refused_before: int = 0
    """Chunks done by an earlier run that hold refused rows."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Why files could not be read, or not completely, by path."""

    @property
    def took_nothing(self) -> bool:
        """Whether there were rows and no window came of any: all were rejected, or observations gave none.

        That the last few chunks of a job give none proves nothing.
        """
        has_none = self.rows > 0 and not self.skipped
        return not self.counts.windows and (has_none or self.counts.rejects.total > 0)


class EmbedChunk:
    """The actor's class. Everything that is not plain data is created inside the actor, with its first chunk.

    Errors are returned as data: Ray would wrap and log them, and lose which chunk it was.
    """

    def __init__(self, recipe: BackfillRecipe, open_tools: OpenTools, attempts: Attempts) -> None:
        self._recipe, self._open_tools, self._attempts = recipe, open_tools, attempts
        self._embedder: ChunkEmbedder | None = None

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[str]]:
        """Embed the one chunk of the batch; return its counts, or the error."""
        chunk = Chunk(**{name: values.tolist()[0] for name, values in batch.items()})
        try:
            self._attempts.begin(chunk.id)
            if self._embedder is None:
                self._embedder = ChunkEmbedder(self._recipe, self._open_tools())
            counts = self._embedder.embed(chunk)
            self._attempts.end(chunk.id)
        except FileFault as error:
            self._attempts.end(chunk.id)
            return _outcome(fault=f"{chunk.path}\n{error}")
        except UndertowError as error:
            return _outcome(error=f"chunk {chunk} failed: {error}")
        except Exception as error:  # noqa: BLE001 the driver raises it again, with the name of the chunk
            return _outcome(error=f"chunk {chunk} failed: {error!r}", trace=traceback.format_exc())
        return _outcome(counts)


def _outcome(
    counts: ChunkCounts | None = None, *, fault: str = "", error: str = "", trace: str = ""
) -> dict[str, list[str]]:
    counts = counts or ChunkCounts()
    return {"counts": [counts.to_json()], "fault": [fault], "error": [error], "trace": [trace]}


def _no_progress(done: int, total: int, windows: int) -> None:
    """Show nothing."""


def backfill(
    recipe: BackfillRecipe,
    open_tools: OpenTools,
    *,
    settings: BackfillSettings,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    on_progress: OnChunks = _no_progress,
    tell: Callable[[str], object] = log.warning,
    clock: Clock = time.time,
    ticks: Clock = time.monotonic,
) -> BackfillReport:
    """Embed all chunks that no run of this job has done yet; return when they are durable.

    A file that cannot be read (completely) is reported at the end, after the others were done. Raises `Refused` if no
    file fits, and for a chunk that failed or whose workers were killed repeatedly, by its name: finished chunks are
    kept, and the same call resumes. `tell` is called with possible causes if no chunk finishes for a minute.
    """
    now_s, began = clock(), ticks()
    _claim(recipe, settings.chunk_rows)
    sweep(recipe.folder, now=now_s)
    digests = Digests(recipe.folder / "_files.json", clock=clock)
    found = cut(
        recipe.history,
        recipe.contract if recipe.observed is None else None,
        space=recipe.view.space,
        chunk_rows=settings.chunk_rows if recipe.observed is None else WHOLE,
        digest_of=digests.of,
    )
    done_before = find_done(found.chunks, recipe.folder, history_folder(recipe.history), digests)
    digests.save()
    for line in (*(f"left out: {why}" for why in found.left_out), *found.faults.values(), *done_before.said):
        tell(line)
    chunks, faults = found.chunks, dict(found.faults)
    missing = [chunk for chunk in chunks if chunk not in done_before.parts]
    with_rejects = {path.stem for path in recipe.rejects.glob("*.jsonl")}
    if missing:
        recipe = begin_run(recipe, rows=sum(chunk.rows for chunk in chunks), now_s=now_s)
    refused_before = sum(part in with_rejects for part in done_before.parts.values())
    skipped = len(chunks) - len(missing)
    counts = ChunkCounts()
    on_progress(skipped, len(chunks), counts.windows)
    replicas = min(settings.replicas, len(missing))
    attempts = Attempts(recipe.folder / "_attempts" / uuid.uuid4().hex)  # Arrow looks into no folder with an underscore
    made_of = (recipe, open_tools, attempts)
    outcomes = _run(made_of, missing, replicas=replicas, num_cpus=num_cpus, num_gpus=num_gpus)
    with contextlib.closing(outcomes), contextlib.closing(attempts), StallWatch(attempts, tell) as watch:
        for done, outcome in enumerate(outcomes, start=skipped + 1):
            watch.moved()
            if outcome["trace"]:
                message = f"{outcome['error']}\n{outcome['trace']}"
                raise RuntimeError(message)
            if outcome["error"]:
                message = f"{outcome['error']}; what is done is kept: run the same backfill again to go on"
                raise Refused(message)
            if outcome["fault"]:
                name, fault = outcome["fault"].split("\n", 1)
                faults.setdefault(name, fault)
            counts += ChunkCounts.from_json(outcome["counts"])
            on_progress(done, len(chunks), counts.windows)
    return BackfillReport(
        chunks=len(chunks),
        skipped=skipped,
        rows=sum(chunk.rows for chunk in missing),
        seconds=ticks() - began,
        counts=counts,
        refused_before=refused_before,
        faults=faults,
    )


def _claim(recipe: BackfillRecipe, chunk_rows: int) -> None:
    """Ensure that a job always has the same chunks: others would embed the same windows again, or make other ones."""
    if JOB_NAME(recipe.job) is None:
        message = f"a job's name begins with a letter or digit and goes on with these or `._-`, found {recipe.job!r}"
        raise WrongUsage(message)
    note = recipe.folder / "_job.json"
    said: dict[str, Any] = {"chunk_rows": chunk_rows}
    if recipe.observed is not None:
        said["windows"] = {**recipe.observed.plan.spec.meaning, "lateness": None}  # of streams alone
    if publish(note, json.dumps(said, sort_keys=True).encode(), within=recipe.home):
        return
    noted = json.loads(note.read_bytes())
    if (before := noted["chunk_rows"]) != chunk_rows:
        message = (
            f"job {recipe.job!r} was begun with backfill.chunk_rows = {before}, now it is {chunk_rows}: "
            "set it back, or give the job another name"
        )
        raise Refused(message)
    was, now = noted.get("windows", {}), json.loads(json.dumps(said.get("windows", {})))
    both = [name for name in was if name in now]
    if changed := [f"windows.{name} = {was[name]!r}, now {now[name]!r}" for name in both if was[name] != now[name]]:
        message = (
            f"job {recipe.job!r} was begun with {', '.join(changed)}: set it back, or give the job another name "
            "(--job), since the history would hold windows of both"
        )
        raise Refused(message)


def _run(
    made_of: tuple[BackfillRecipe, OpenTools, Attempts],
    chunks: Sequence[Chunk],
    *,
    replicas: int,
    num_cpus: float,
    num_gpus: float,
) -> Generator[dict[str, Any], None, None]:
    if not chunks:
        return
    with _quiet():
        context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    with _quiet(), DataContext.current(context):
        # A block for each chunk, so that each is reported when it is done, and no actor queues chunks others could do.
        outcomes = ray.data.from_items([asdict(chunk) for chunk in chunks], override_num_blocks=len(chunks))
        outcomes = outcomes.map_batches(
            EmbedChunk,
            fn_constructor_args=made_of,
            batch_size=1,
            compute=ActorPoolStrategy(size=replicas, max_tasks_in_flight_per_actor=2),
            # Ray Data calls both at once experimental; a GPU's share already bounds its actors.
            **({"num_gpus": num_gpus} if num_gpus else {"num_cpus": num_cpus}),
        )
        yield from outcomes.iter_rows()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data's plans and statistics off the terminal, but not its warnings (too few CPUs, say)."""
    levels = {"ray.data": logging.WARNING, "ray.data._internal.progress": logging.ERROR}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its own settings, when it copies them
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)

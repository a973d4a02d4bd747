"""What a topic says is known ahead, as a file beside a job's parts, until the job is done.

In: a recipe, settings. Out: the path of a Parquet file. Knows neither Ray nor models.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from undertow.adapters.offline_files import publish
from undertow.backfill.embed import BackfillRecipe
from undertow.backfill.history_files import PIECE
from undertow.backfill.pieces import FOLDER
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.wiring.known_topic import read_known_topic


@contextlib.contextmanager
def known_of_job(recipe: BackfillRecipe, settings: Settings, say: Callable[[str], object]) -> Iterator[AnyPath | None]:
    """Read the topic (`windows.known_topic`) to its end, and yield the file of what it says; None without a topic.

    A run that goes on after a failure takes what the one before has read of this topic, or its chunks would be others.
    The file is deleted when the block ends without one. Raises `Refused`, `Unavailable`.
    """
    topic = settings.windows.known_topic
    path = recipe.folder / FOLDER / f"known.{topic}{PIECE}"
    if topic and path.exists():
        say(f"what is known ahead is what the run before has read of {topic}")
    else:
        now = read_known_topic(settings, recipe.contract)
        if now is None:
            yield None
            return
        now.require_rows()  # before they are kept, so that a later run reads the topic again
        say(f"what is known ahead: {now.told}")
        publish(path, parquet_of(now.table), within=recipe.home)
    yield path
    path.unlink(missing_ok=True)
    if isinstance(path, Path):
        with contextlib.suppress(OSError):  # pieces of another run are beside it
            path.parent.rmdir()


def parquet_of(table: pa.Table) -> bytes:
    """Return the content of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content

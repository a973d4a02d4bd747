"""One replica's stream in the process of the test, without Ray."""

from undertow.stream.counts import Counts
from undertow.wiring.root import StreamRecipe, open_stream


def read_to_end(recipe: StreamRecipe, index: int = 0) -> Counts:
    """Read the topic to its end for one artifact, and make a checkpoint; return what was counted."""
    stream = open_stream(recipe, lambda: False, index)
    try:
        stream.assign(recipe.partitions)
        while stream.step() or any(stream.lag.values()):
            pass
        stream.checkpoint()
    finally:
        stream.close()
    return stream.counts

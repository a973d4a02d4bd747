"""Small sources of rows: a chain of the offline log, and Parquet of others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from undertow.adapters.offline_parts import encode_part
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView

SECOND_US = 1_000_000
BEGIN_US = 1_767_225_600_000_000  # 2026-01-01
VIEW = SpaceView(
    name="watch",
    space="a" * 64,
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="arm", type="integer")),
    features=(("embedding", 4),),
)


@pytest.fixture
def write_part(tmp_path: Path) -> Callable[..., Path]:
    """Write one part of the log as the sinks do; return the folder of its space."""

    def write(name="0", *, rows=40, first=0, space="a" * 64, created_us=BEGIN_US, scale=1.0, wearer="s{}"):
        at = np.arange(first, first + rows)
        rng = np.random.default_rng(7)
        vectors = rng.normal(size=(first + rows, 4)).astype(np.float32)[first:] * np.array([4, 2, 1, 1], np.float32)
        batch = EmbeddingBatch(
            space=space,
            series={
                "wearer": np.array([wearer.format(n % 3) for n in at], object),
                "arm": (at % 2).astype(np.int64),
            },
            event_us=BEGIN_US + at * SECOND_US,
            created_us=np.full(rows, created_us),
            features={"embedding": vectors * np.float32(scale)},
        )
        path = tmp_path / "offline" / f"watch__{space[:8]}" / "windows" / name / "0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_part(batch, VIEW, metadata={"space": space}))
        return tmp_path / "offline" / f"watch__{space[:8]}"

    return write

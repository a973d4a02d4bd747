"""The space id: a hash of everything that decides a vector's numbers, and of nothing else.

In: plain JSON data. Out: hex digests. Knows neither files nor models.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

Precision = Literal["float32", "bfloat16"]
"""The numeric precision of a forward: IEEE float32, also on a GPU (no TF32), or bfloat16 by torch.autocast."""
FLOAT32: Precision = "float32"


def canonical(data: Any) -> bytes:
    """Return the canonical JSON of plain data: sorted keys, no spaces, shortest floats, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest(data: Any) -> str:
    """Return the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(data)).hexdigest()


def space_id(
    *,
    weights: str,
    model: Mapping[str, Any],
    features: list[dict[str, Any]],
    preprocessing: Mapping[str, Any],
    numeric: Precision,
) -> str:
    """Return the space id: 64 hex digits, equal wherever and whenever the same artifact is packed.

    Descriptions and library versions are left out, since they change no vector.
    """
    return digest(
        {
            "weights": weights,
            "model": dict(model),
            "features": features,
            "preprocessing": dict(preprocessing),
            "numeric": numeric,
        }
    )

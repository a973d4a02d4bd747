"""The identity of a vector space: what decides the numbers, and nothing else, hashed.

In: plain JSON data. Out: hex digests. Knows neither files nor models.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

Precision = Literal["float32", "bfloat16"]
"""In which numbers a forward computes: IEEE float32, also on a GPU (no TF32), or bfloat16 where torch.autocast does."""
FLOAT32: Precision = "float32"


def canonical(data: Any) -> bytes:
    """Return the one JSON text of plain data: sorted keys, no spaces, shortest floats, no NaN."""
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
    """Return the identity of the space: 64 hex digits, equal wherever and whenever the same artifact is packed.

    Texts and library versions are left out: they move no vector.
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

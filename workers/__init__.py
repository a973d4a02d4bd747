"""Undertow: hidden states of forecasting models, as features.

The public API is `__all__`, and nothing else. Importing this package imports neither torch nor Ray nor Feast: each name
imports what it needs when it is first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from undertow.api.embedding import ArtifactEmbedder, Result, load
    from undertow.api.models import pack, taps
    from undertow.api.observing import windows
    from undertow.api.training import TrainingFrame, training_frame
    from undertow.core.errors import Refused, Unavailable, UndertowError
    from undertow.core.features import Feature
    from undertow.core.pooling import pool
    from undertow.core.taps import Taps
    from undertow.observations.spec import WindowSpec
    from undertow.observations.windowed import Windows
    from undertow.reader.following import SpaceChange
    from undertow.reader.neighbours import Neighbours
    from undertow.reader.reader import AsyncReader, Reader
    from undertow.reader.vectors import Vectors
    from undertow.schemas.records import Fault
    from undertow.schemas.windows import WindowBatch

__all__ = [
    "ArtifactEmbedder",
    "AsyncReader",
    "Fault",
    "Feature",
    "Neighbours",
    "Reader",
    "Refused",
    "Result",
    "SpaceChange",
    "Taps",
    "TrainingFrame",
    "Unavailable",
    "UndertowError",
    "Vectors",
    "WindowBatch",
    "WindowSpec",
    "Windows",
    "load",
    "pack",
    "pool",
    "taps",
    "training_frame",
    "windows",
]

_HOMES = {
    "ArtifactEmbedder": "api.embedding",
    "AsyncReader": "reader.reader",
    "Fault": "schemas.records",
    "Feature": "core.features",
    "Neighbours": "reader.neighbours",
    "Reader": "reader.reader",
    "Refused": "core.errors",
    "Result": "api.embedding",
    "SpaceChange": "reader.following",
    "Taps": "core.taps",
    "TrainingFrame": "api.training",
    "Unavailable": "core.errors",
    "UndertowError": "core.errors",
    "Vectors": "reader.vectors",
    "WindowBatch": "schemas.windows",
    "WindowSpec": "observations.spec",
    "Windows": "observations.windowed",
    "load": "api.embedding",
    "pack": "api.models",
    "pool": "core.pooling",
    "taps": "api.models",
    "training_frame": "api.training",
    "windows": "api.observing",
}


if not TYPE_CHECKING:  # which would take it for every name, also a misspelled one

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

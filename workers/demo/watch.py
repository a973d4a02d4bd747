"""The demonstration's data: a smart-watch on ten people who do shoulder exercises, from seglearn's wheel.

In: the object array inside the installed wheel. Out: `Recording`s at 25 Hz, their readings as rows, and their windows,
each with a label. Knows neither models nor stores.
"""

import codecs
import importlib.util
import pickle  # the set is an object array; `_Restricted` admits plain arrays only
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.observations.from_tables import make_windows
from undertow.observations.plan import make_plan
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import InputContract
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.schemas.windows import WindowBatch

CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
"""Acceleration in g, then angular velocity in rad/s."""
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "row",
}
SIDES = ("left", "right")  # seglearn codes the arm that wears the watch as 0 and 1
UNSEEN = ("s08", "s09", "s10")
"""Wearers that neither the model nor the classifier meets before the stream does."""

STEPS = 64
"""Steps of a window: 2.56 s, about one repetition of an exercise."""
STRIDE = 12
"""Steps from one window to the next: about two a second."""
EVERY, STEP_US = "40ms", 40_000
GAP_STEPS = 250
"""Ten seconds of rest between two recordings of one arm."""
EPOCH_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """One arm doing one exercise about twenty times."""

    wearer: str
    side: str
    exercise: str
    start_us: int
    """Event time of the first step; recordings of one arm follow each other."""
    steps: NDArray[np.float64]
    """(n, 6) at 25 Hz, columns as in `CHANNELS`."""

    @property
    def name(self) -> str:
        """Identify the recording: an arm does each exercise once."""
        return f"{self.wearer}-{self.side}-{self.exercise.replace(' ', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Readings, the windows that are made of them, and what the wearers were doing."""

    readings: pd.DataFrame
    """In order of time: wearer, side, event_timestamp (UTC), and the channels."""
    windows: WindowBatch
    """In order of time, those that a stream of the readings has."""
    labels: pd.DataFrame
    """wearer, side, event_timestamp (UTC), exercise: row i is window i's."""


def load_recordings() -> tuple[Recording, ...]:
    """Read the set and lay each arm's recordings one after another on its own time line."""
    with _data_file().open("rb") as file:
        raw = _load_object(file)
    next_us: dict[tuple[str, str], int] = {}
    recordings = []
    for steps, code, wearer, side in zip(raw["X"], raw["y"], raw["subject"], raw["side"], strict=True):
        halved = halve_rate(steps)
        arm = f"s{int(wearer):02d}", SIDES[int(side)]
        start_us = next_us.get(arm, EPOCH_US)
        next_us[arm] = start_us + (len(halved) + GAP_STEPS) * STEP_US
        exercise = EXERCISES[raw["y_labels"][code]]
        recordings.append(
            Recording(wearer=arm[0], side=arm[1], exercise=exercise, start_us=start_us, steps=halved),
        )
    return tuple(recordings)


def split(recordings: Iterable[Recording]) -> tuple[tuple[Recording, ...], tuple[Recording, ...]]:
    """Separate the wearers to learn from and the unseen ones."""
    known: list[Recording] = []
    unseen: list[Recording] = []
    for recording in recordings:
        (unseen if recording.wearer in UNSEEN else known).append(recording)
    return tuple(known), tuple(unseen)


def halve_rate(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go from 50 to 25 Hz: the mean of two steps is the shortest causal low-pass, and arms move below 5 Hz."""
    even = len(steps) // 2 * 2
    return (steps[0:even:2] + steps[1:even:2]) / 2


def readings(recordings: Sequence[Recording]) -> pd.DataFrame:
    """Lay recordings out as rows, in the order of time in which watches would send them."""
    counts = [len(recording.steps) for recording in recordings]
    when = np.concatenate([r.start_us + np.arange(n) * STEP_US for r, n in zip(recordings, counts, strict=True)])
    steps = np.concatenate([recording.steps for recording in recordings])
    table = pd.DataFrame(
        {
            "wearer": np.repeat([recording.wearer for recording in recordings], counts),
            "side": np.repeat([recording.side for recording in recordings], counts),
            EVENT_TIMESTAMP: pd.to_datetime(when, unit="us", utc=True).as_unit("us"),
            **{channel: steps[:, place] for place, channel in enumerate(CHANNELS)},
        }
    )
    return table.sort_values(EVENT_TIMESTAMP, kind="stable", ignore_index=True)


def label(recordings: Sequence[Recording], contract: InputContract, spec: WindowSpec) -> Labelled:
    """Find the windows in all readings, and say of each what was done. Raises `Refused` if the model takes others."""
    rows = readings(recordings)
    windows = make_windows(make_plan(spec, contract), pa.Table.from_pandas(rows, preserve_index=False), None, None)
    batch = windows.take(np.argsort(windows.end_us, kind="stable"))
    labels = pd.DataFrame(
        {**batch.series, EVENT_TIMESTAMP: pd.to_datetime(batch.end_us, unit="us", utc=True).as_unit("us")}
    )
    begun = pd.DataFrame(
        {
            "wearer": [recording.wearer for recording in recordings],
            "side": [recording.side for recording in recordings],
            EVENT_TIMESTAMP: pd.to_datetime([r.start_us for r in recordings], unit="us", utc=True).as_unit("us"),
            "exercise": [recording.exercise for recording in recordings],
        }
    )
    # No window reaches across the rest between two recordings, so the last one that has begun is the window's own.
    labels = pd.merge_asof(labels, begun.sort_values(EVENT_TIMESTAMP), on=EVENT_TIMESTAMP, by=["wearer", "side"])
    return Labelled(readings=rows, windows=batch, labels=labels)


def observations(windows: WindowBatch) -> NDArray[np.float64]:
    """View the windows as (n, STEPS, 6)."""
    columns = [windows.past[channel].astype(np.float64, copy=False) for channel in CHANNELS]
    return np.stack(columns, axis=-1).reshape(-1, STEPS, len(CHANNELS))


def _data_file() -> Path:
    # find_spec does not run seglearn, which would import scikit-learn only to read a file.
    spec = importlib.util.find_spec("seglearn")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "data" / "watch_dataset.npy").is_file():
            return path
    message = "the demo needs seglearn's smart-watch set, which is not installed: pip install 'undertow[demo]'"
    raise Refused(message)


class _Restricted(pickle.Unpickler):
    """Admits what an array of numbers and strings is made of: nothing that this file names can execute."""

    ADMITTED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Resolve one of the four names, and refuse any other."""
        if found := self.ADMITTED.get((module_name, global_name)):
            return found
        message = f"seglearn's set should hold plain arrays, but names {module_name}.{global_name}; reinstall seglearn"
        raise Refused(message)


def _load_object(file: BinaryIO) -> dict[str, Any]:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    loaded: dict[str, Any] = _Restricted(file).load().item()
    return loaded

"""What a reader asks its store, and what it makes of the answers: the same for threads and for asyncio.

In: series, `Answer`s. Out: `Question`s, at last `Vectors`. It does no input or output itself: whoever runs the
generator carries the questions.
"""

from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import numpy as np

from undertow.adapters import feast_bytes
from undertow.core.errors import Refused, WrongUsage
from undertow.reader.following import Following
from undertow.reader.series import id_columns
from undertow.reader.vectors import Vectors
from undertow.schemas.lookups import Answer, Question
from undertow.schemas.served import ServedSpace

Conversation = Generator[Question, Answer, Vectors]
_MICROSECOND = timedelta(microseconds=1)


def ask(
    following: Following,
    series: Any,
    features: Sequence[str] | None,
    *,
    max_age: object,
    now: Callable[[], float],
) -> Conversation:
    """Ask for the newest vectors. The record of what is served comes with them when it is due.

    If another space turns out to be promoted, all is asked for again: an answer has rows of one space.
    """
    if not (max_age is None or isinstance(max_age, timedelta)):
        message = f"max_age: expected a timedelta or None, found {max_age!r}"
        raise WrongUsage(message)
    if not following.project:
        following.find_project((yield Question(lists=True)).names)
    if following.space is None:
        following.take((yield Question(record=following.record)).record)
    while True:
        space = following.space
        if space is None:
            message = "expected a space after the first look"
            raise AssertionError(message)
        names = _chosen(space, features)
        keys = feast_bytes.entity_keys(id_columns(series, space.series))
        places = dict.fromkeys(keys)  # each key once, in the order of their first
        is_due = following.is_due
        answer = yield Question(
            record=following.record if is_due else "",
            project=following.project,
            space=space,
            features=names,
            keys=list(places),
        )
        if is_due and following.take(answer.record):
            continue
        unique = None
        if len(places) < len(keys):
            order = {key: place for place, key in enumerate(places)}
            unique = np.fromiter((order[key] for key in keys), np.int64, len(keys))
        return _vectors(space, names, answer, unique, max_age=max_age, now_us=int(now() * 1_000_000))


def _chosen(space: ServedSpace, features: Sequence[str] | None) -> tuple[str, ...]:
    known = [name for name, _ in space.features]
    if features is None:
        return tuple(known)
    if isinstance(features, str) or not features or len(set(features)) < len(features):
        message = f"features: expected a list of names, each once, or None for all; found {features!r}"
        raise WrongUsage(message)
    if strange := [name for name in features if name not in known]:
        message = f"{space.view} has no feature {', '.join(map(repr, strange))}; there are: {', '.join(known)}"
        raise WrongUsage(message)
    return tuple(features)


def _vectors(
    space: ServedSpace,
    names: Sequence[str],
    answer: Answer,
    unique: np.ndarray[Any, np.dtype[np.int64]] | None,
    *,
    max_age: timedelta | None,
    now_us: int,
) -> Vectors:
    """Put the rows together; `unique` tells for each row of the caller's which key it is, None for its own."""
    sizes = dict(space.features)
    ends = np.cumsum([sizes[name] for name in names]).tolist()
    columns = {name: slice(end - sizes[name], end) for name, end in zip(names, ends, strict=True)}
    parts = [_read(space, name, values, sizes[name]) for name, values in zip(names, answer.values, strict=True)]
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    is_there = answer.found
    event_us = answer.event_us
    too_old_rows = np.zeros(len(event_us), np.bool_) if max_age is None else now_us - event_us > max_age // _MICROSECOND
    count = len(is_there)
    vectors = np.full((count, ends[-1]), np.nan, np.float32)
    vectors[is_there] = rows
    too_old = np.zeros(count, np.bool_)
    too_old[is_there] = too_old_rows
    vectors[too_old] = np.nan
    event_time = np.full(count, np.datetime64("NaT", "us"))
    event_time[is_there] = event_us.view("datetime64[us]")
    if unique is not None:
        vectors, is_there, too_old, event_time = (part[unique] for part in (vectors, is_there, too_old, event_time))
    return Vectors(
        vectors=vectors,
        found=is_there & ~too_old,
        too_old=too_old,
        event_time=event_time,
        age=np.datetime64(now_us, "us") - event_time,
        columns=MappingProxyType(columns),
        view=space.view,
        space=space.space,
        ttl=timedelta(seconds=space.ttl_seconds) if space.ttl_seconds else None,
    )


def _read(space: ServedSpace, name: str, values: Sequence[bytes], size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    read = feast_bytes.read_float_lists(values, size)
    if read is None:
        message = (
            f"{space.view}: expected vectors of {size} numbers in {name}, found something else: only undertow's own "
            "writers may write to this view; undertow rebuild writes the newest vectors again"
        )
        raise Refused(message)
    return read

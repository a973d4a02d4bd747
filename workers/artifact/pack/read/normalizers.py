"""Convert fitted normalizers, scalers and encoders to plain numbers.

In: objects of pytorch-forecasting and scikit-learn from a checkpoint. Out: `Scaler` and `LabelEncoder`, or `Refused` if
they cannot be computed exactly from a window. Knows no column order and no window.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pytorch_forecasting.data.encoders import EncoderNormalizer, GroupNormalizer, NaNLabelEncoder, TorchNormalizer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from undertow.core.errors import Refused
from undertow.core.preprocessing import LabelEncoder, Target
from undertow.core.scalers import FixedScaler, GroupScaler, GroupTable, RangeScaler, Scaler, WindowScaler
from undertow.core.transformations import NAMES

GROUP_ID = "__group_id__"
"""pytorch-forecasting's prefix for the encoder of a group id that identifies a series."""
LEAST_STEPS = 2
"""The fewest steps of an EncoderNormalizer: one step has no standard deviation."""


def read_encoder(name: str, encoder: Any) -> LabelEncoder:
    """Read a fitted NaNLabelEncoder."""
    if type(encoder) is not NaNLabelEncoder or not hasattr(encoder, "classes_"):
        raise _refuse(name, "a fitted NaNLabelEncoder", encoder)
    codes = {_label(name, label): int(code) for label, code in encoder.classes_.items() if label == label}  # noqa: PLR0124 NaN is the unknown one among integers
    if len({type(label) for label in codes}) > 1:
        raise _refuse(name, "categories of one type", sorted(map(str, codes))[:5])
    return LabelEncoder(name=name, codes=codes, unknown=0 if encoder.add_nan else None)


def read_group_encoder(name: str, encoder: Any) -> LabelEncoder:
    """Read the encoder of series ids; a new series gets the next code, as in a data set of that series alone."""
    read = read_encoder(name, encoder)
    return LabelEncoder(name=name, codes=read.codes, unknown=len(encoder.classes_) + bool(encoder.add_nan))


def read_scaler(name: str, scaler: Any) -> Scaler | None:
    """Read the scaler of a covariate; a GroupNormalizer's groups are looked up by encoded names."""
    if scaler is None:
        return None
    if type(scaler) is EncoderNormalizer:
        return _window(name, scaler)
    if type(scaler) is GroupNormalizer and hasattr(scaler, "norm_"):
        return _group(name, scaler)
    if hasattr(scaler, "n_features_in_") and (read := _of_sklearn(name, scaler)):
        return read
    expected = "a fitted StandardScaler, RobustScaler, MinMaxScaler, MaxAbsScaler (no clip) or GroupNormalizer"
    raise _refuse(name, f"{expected}, an EncoderNormalizer, or None", scaler)


def read_target(name: str, normalizer: Any, group_ids: Sequence[str]) -> Target:
    """Read the normalizer of a target."""
    if type(normalizer) is EncoderNormalizer:
        window = _window(name, normalizer)
        return Target(name=name, scaler=window, reported=window)
    if type(normalizer) is TorchNormalizer and hasattr(normalizer, "center_"):
        fixed = _fixed(name, normalizer.center_, normalizer.scale_, normalizer.transformation)
        # A TorchNormalizer keeps its numbers as they were fitted, a GroupNormalizer converts them to float32.
        is_double = normalizer.get_parameters().numpy().dtype == np.float64
        return Target(name=name, scaler=fixed, reported=fixed, reported_dtype="float64" if is_double else "float32")
    if type(normalizer) is GroupNormalizer and hasattr(normalizer, "norm_"):
        if unknown := sorted(set(normalizer._groups) - set(group_ids)):  # noqa: SLF001 the fitted state has no other name
            raise _refuse(name, f"GroupNormalizer groups among the group_ids {list(group_ids)}", unknown)
        scaler = _group(name, normalizer)
        return Target(name=name, scaler=scaler, reported=_reported(name, normalizer, group_ids))
    raise _refuse(name, "a fitted TorchNormalizer, GroupNormalizer or EncoderNormalizer of a real target", normalizer)


def _fixed(name: str, center: Any, scale: Any, transformation: Any = None) -> FixedScaler:
    numbers = [np.asarray(value, dtype=np.float64).reshape(-1) for value in (center, scale)]
    if any(len(number) != 1 or not math.isfinite(number[0]) for number in numbers):
        raise _refuse(name, "one finite centre and one finite scale", [number.tolist()[:3] for number in numbers])
    return FixedScaler(
        center=float(numbers[0][0]), scale=float(numbers[1][0]), transformation=_transformation(name, transformation)
    )


def _of_sklearn(name: str, scaler: Any) -> FixedScaler | RangeScaler | None:
    if type(scaler) is StandardScaler:
        return _fixed(name, scaler.mean_ if scaler.with_mean else 0.0, scaler.scale_ if scaler.with_std else 1.0)
    if type(scaler) is RobustScaler:
        center = scaler.center_ if scaler.with_centering else 0.0
        return _fixed(name, center, scaler.scale_ if scaler.with_scaling else 1.0)
    if type(scaler) is MaxAbsScaler and not getattr(scaler, "clip", False):
        return _fixed(name, 0.0, scaler.scale_)
    if type(scaler) is MinMaxScaler:
        numbers, (low, high) = _fixed(name, scaler.min_, scaler.scale_), scaler.feature_range
        bounds = (float(low), float(high)) if scaler.clip else None
        return RangeScaler(factor=numbers.scale, offset=numbers.center, bounds=bounds)
    return None


def _window(name: str, normalizer: Any) -> WindowScaler:
    lengths = normalizer.max_length
    center, scale = (lengths, lengths) if lengths is None or isinstance(lengths, int) else tuple(lengths)
    if any(steps is not None and steps < LEAST_STEPS for steps in (center, scale)):
        raise _refuse(name, f"an EncoderNormalizer max_length of at least {LEAST_STEPS}", lengths)
    quantile = normalizer._method_kwargs.get  # noqa: SLF001 the fitted state has no other name
    return WindowScaler(
        method=normalizer.method,
        center=bool(normalizer.center),
        center_steps=None if center is None else int(center),
        scale_steps=None if scale is None else int(scale),
        quantiles=(float(quantile("lower", 0.25)), float(quantile("center", 0.5)), float(quantile("upper", 0.75))),
        transformation=_transformation(name, normalizer.transformation),
    )


def _group(name: str, normalizer: Any) -> FixedScaler | GroupScaler:
    """Read the numbers that `GroupNormalizer.get_norm` looks up; missing numbers of a group are replaced."""
    groups = normalizer._groups  # noqa: SLF001 the fitted state has no other name
    if not groups:
        return _fixed(name, normalizer.norm_["center"], normalizer.norm_["scale"], normalizer.transformation)
    if normalizer.scale_by_group:
        tables = tuple(
            _table(name, [(group, group)], normalizer.norm_[group], normalizer.missing_[group], fill=True)
            for group in groups
        )
    else:
        ids = [(group, group) for group in groups]
        tables = (_table(name, ids, normalizer.norm_, normalizer.missing_, fill=True),)
    return GroupScaler(tables=tables, transformation=_transformation(name, normalizer.transformation))


def _reported(name: str, normalizer: Any, group_ids: Sequence[str]) -> FixedScaler | GroupScaler:
    """Read the numbers that `GroupNormalizer.get_parameters` looks up, by the codes of all group ids in their order."""
    groups = normalizer._groups  # noqa: SLF001 the fitted state has no other name
    if not groups:
        return _group(name, normalizer)
    ids, missing = [(group, GROUP_ID + group) for group in group_ids], normalizer.missing_
    if normalizer.scale_by_group:
        named = [group for group in group_ids if group in groups]
        pairs = zip(ids, named, strict=False)  # by position, as there: surplus ids are ignored
        return GroupScaler(
            tables=tuple(
                _table(name, [pair], normalizer.norm_[group], missing[group], fill=False) for pair, group in pairs
            )
        )
    if len(groups) == len(ids):
        return GroupScaler(tables=(_table(name, ids, normalizer.norm_, missing, fill=False),))
    if (len(groups), len(ids)) == (1, 2):  # it mistakes the second id for a column's name, and finds none
        return FixedScaler(center=float(missing["center"]), scale=float(missing["scale"]))
    raise _refuse(name, f"a GroupNormalizer by all of {list(group_ids)}, or with scale_by_group", groups)


def _table(
    name: str, ids: Sequence[tuple[str, str]], norm: Any, missing: Mapping[str, Any], *, fill: bool
) -> GroupTable:
    otherwise = (float(missing["center"]), float(missing["scale"]))
    norms = {}
    for key, center, scale in zip(norm.index.tolist(), norm["center"].tolist(), norm["scale"].tolist(), strict=True):
        codes = key if isinstance(key, tuple) else (key,)
        if not all(type(code) is int for code in codes):
            raise _refuse(name, "a GroupNormalizer that was fitted on encoded groups", key)
        norms[codes] = _without_nan((center, scale), otherwise if fill else (math.nan, math.nan))
    return GroupTable(ids=tuple(ids), norms=norms, missing=otherwise)


def _without_nan(norm: Iterable[float], otherwise: Iterable[float]) -> tuple[float, float]:
    center, scale = (
        replacement if math.isnan(value) else value for value, replacement in zip(norm, otherwise, strict=True)
    )
    return center, scale


def _transformation(name: str, transformation: Any) -> str | None:
    if transformation is None or (isinstance(transformation, str) and transformation in NAMES):
        return transformation
    raise _refuse(name, f"a transformation among {sorted(NAMES)}", transformation)


def _label(name: str, label: Any) -> str | int:
    if isinstance(label, str):
        return str(label)
    if isinstance(label, int | np.integer) and not isinstance(label, bool | np.bool_):
        return int(label)
    found = label.item() if isinstance(label, np.generic) else label
    raise _refuse(name, f"categories that are strings or integers, no {type(found).__name__}s", found)


def _refuse(name: str, expected: str, found: Any) -> Refused:
    message = f"the column {name}: expected {expected}, found {found!r}; inputs are only built exactly or not at all"
    return Refused(message)

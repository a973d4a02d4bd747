"""Read the parameters of a TimeSeriesDataSet, with columns in the order of its inputs.

In: the `dataset_parameters` that pytorch-forecasting saves in a checkpoint. Out: `DatasetParameters`, or `Refused` for
an option that windows cannot reproduce. Knows no scaler and no contract.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pytorch_forecasting.data.encoders import EncoderNormalizer, GroupNormalizer, MultiNormalizer, NaNLabelEncoder

from undertow.core.errors import Refused
from undertow.core.preprocessing import Lag, RealRole

Kind = Literal["static", "known", "unknown"]
RELATIVE_TIME, LENGTH = "relative_time_idx", "encoder_length"
KEYS = frozenset(
    {
        *("time_idx", "target", "group_ids", "max_encoder_length", "min_encoder_length", "max_prediction_length"),
        *("static_reals", "time_varying_known_reals", "time_varying_unknown_reals"),
        *("static_categoricals", "time_varying_known_categoricals", "time_varying_unknown_categoricals"),
        *("variable_groups", "lags", "target_normalizer", "categorical_encoders", "scalers"),
        *("allow_missing_timesteps", "constant_fill_strategy"),
        *("add_relative_time_idx", "add_target_scales", "add_encoder_length"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetParameters:
    """The parameters that decide how inputs are built."""

    time_idx: str
    group_ids: tuple[str, ...]
    targets: tuple[str, ...]
    several_targets: bool
    normalizers: tuple[Any, ...]
    """One for each target."""
    encodes_groups: bool
    """Whether the data frame holds group ids as codes: only then do GroupNormalizers see codes."""
    min_encoder_length: int
    max_encoder_length: int
    max_prediction_length: int
    reals: tuple[tuple[str, RealRole, int], ...]
    """(name, role, target) in the order of the inputs."""
    categoricals: tuple[tuple[str, Kind, str], ...]
    """(name, kind, name of its encoder) in the order of the inputs."""
    scalers: Mapping[str, Any]
    encoders: Mapping[str, Any]
    lags: tuple[Lag, ...]


def read_parameters(parameters: Mapping[str, Any]) -> DatasetParameters:
    """Read and check. Raises `Refused`."""
    if missing := sorted(KEYS - parameters.keys()):
        message = (
            f"expected the parameters of a pytorch-forecasting 1.8 TimeSeriesDataSet, found no {', '.join(missing)}; "
            "save the checkpoint of a model that was made with from_dataset"
        )
        raise Refused(message)
    targets = tuple(_names(parameters["target"]))
    several = not isinstance(parameters["target"], str)
    normalizers = _normalizers(parameters["target_normalizer"], targets, several=several)
    read = DatasetParameters(
        time_idx=parameters["time_idx"],
        group_ids=tuple(_names(parameters["group_ids"])),
        targets=targets,
        several_targets=several,
        normalizers=normalizers,
        encodes_groups=isinstance(parameters["target_normalizer"], GroupNormalizer | MultiNormalizer),
        min_encoder_length=int(parameters["min_encoder_length"]),
        max_encoder_length=int(parameters["max_encoder_length"]),
        max_prediction_length=int(parameters["max_prediction_length"]),
        reals=tuple(_reals(parameters, targets)),
        categoricals=tuple(_categoricals(parameters)),
        scalers=parameters["scalers"],
        encoders=parameters["categorical_encoders"],
        lags=tuple(_lags(parameters)),
    )
    _check_names(read)
    _check_lags(read)
    return read


def _normalizers(normalizer: Any, targets: Sequence[str], *, several: bool) -> tuple[Any, ...]:
    normalizers = tuple(normalizer.normalizers) if type(normalizer) is MultiNormalizer else (normalizer,)
    if len(normalizers) != len(targets) or several != (type(normalizer) is MultiNormalizer):
        message = (
            f"expected one normalizer for one target, a MultiNormalizer for a list of them, found {normalizer!r} for "
            f"{', '.join(targets)}"
        )
        raise Refused(message)
    for target, one in zip(targets, normalizers, strict=True):
        if isinstance(one, NaNLabelEncoder):
            labels = [label for label in getattr(one, "classes_", {}) if label == label]  # noqa: PLR0124 without NaN
            is_integer = bool(labels) and all(isinstance(label, int | np.integer) for label in labels)
            message = (
                f"the target {target} is integer, so the data set took its numbers for categories; train with floats: "
                f'frame["{target}"] = frame["{target}"].astype(float)'
                if is_integer
                else f"expected targets that are real numbers, found the categories of {target}; embed by a model that "
                "has it among its covariates, not as its target"
            )
            raise Refused(message)
    return normalizers


def _reals(parameters: Mapping[str, Any], targets: Sequence[str]) -> list[tuple[str, RealRole, int]]:
    """List the reals in the order of `TimeSeriesDataSet.reals`: computed ones follow the columns of their kind."""
    kinds: dict[Kind, list[str]] = {
        "static": _names(parameters["static_reals"]),
        "known": _names(parameters["time_varying_known_reals"]),
        "unknown": _names(parameters["time_varying_unknown_reals"]),
    }
    computed: dict[str, tuple[RealRole, int]] = {}

    def add(name: str, kind: Kind, role: RealRole, target: int = 0) -> None:
        computed[name] = role, target
        if not any(name in names for names in kinds.values()):
            kinds[kind].append(name)

    if parameters["add_relative_time_idx"]:
        add(RELATIVE_TIME, "known", "relative_time")
    if parameters["add_encoder_length"]:
        add(LENGTH, "static", "length")
    if parameters["add_target_scales"]:
        for index, target in enumerate(targets):
            add(f"{target}_center", "static", "center", index)
            add(f"{target}_scale", "static", "scale", index)
    _append_lagged(parameters, kinds)
    for index, target in enumerate(targets):
        if target in kinds["static"] or target in kinds["known"]:
            message = f"a target must be an unknown real or no real at all, found the static or known real {target}"
            raise Refused(message)
        computed[target] = "target", index
    return [(name, *computed.get(name, (kind, 0))) for kind, names in kinds.items() for name in names]


def _categoricals(parameters: Mapping[str, Any]) -> list[tuple[str, Kind, str]]:
    kinds: dict[Kind, list[str]] = {
        "static": _names(parameters["static_categoricals"]),
        "known": _names(parameters["time_varying_known_categoricals"]),
        "unknown": _names(parameters["time_varying_unknown_categoricals"]),
    }
    _append_lagged(parameters, kinds)
    shared: Mapping[str, list[str]] = parameters["variable_groups"] or {}
    encoder = {name: group for group, names in shared.items() for name in names}
    encoder |= {lag.name: lag.column for lag in _lags(parameters)}
    listed = [(flat, kind) for kind, names in kinds.items() for name in names for flat in shared.get(name, [name])]
    return [(name, kind, encoder.get(name, name)) for name, kind in listed]


def _lags(parameters: Mapping[str, Any]) -> list[Lag]:
    lags: Mapping[str, Sequence[int]] = parameters["lags"] or {}
    return [
        Lag(name=f"{column}_lagged_by_{steps}", column=column, steps=int(steps))
        for column, several in lags.items()
        for steps in several
    ]


def _append_lagged(parameters: Mapping[str, Any], kinds: Mapping[Kind, list[str]]) -> None:
    """Add lagged columns where the data set does: those with a lag of at least the horizon are known ahead."""
    for lag in _lags(parameters):
        for kind in ("known", "unknown"):
            if lag.column in kinds[kind]:
                then = kinds["known" if lag.steps >= parameters["max_prediction_length"] else kind]
                if lag.name not in then:
                    then.append(lag.name)


def _check_lags(read: DatasetParameters) -> None:
    vary = {name for name, role, _ in read.reals if role in {"known", "unknown", "target"}}
    vary |= {name for name, _, _ in read.categoricals} - set(read.group_ids)
    scalers = {**read.scalers, **dict(zip(read.targets, read.normalizers, strict=True))}
    for lag in read.lags:
        if lag.column not in vary:
            message = f"expected lags of columns that windows carry in their past, found lags of {lag.column}"
            raise Refused(message)
        scaler = scalers.get(lag.column)
        sharing = [name for name, other in scalers.items() if other is scaler]
        if isinstance(scaler, EncoderNormalizer) and len(sharing) > 1:
            message = (
                f"expected an EncoderNormalizer of its own for {lag.column}, which has lags, found one object for "
                f"{', '.join(sharing)}: the data set would scale the lagged column by the norm of another"
            )
            raise Refused(message)


def _check_names(read: DatasetParameters) -> None:
    reals, categoricals = [name for name, _, _ in read.reals], [name for name, _, _ in read.categoricals]
    for name, count in Counter([*reals, *categoricals]).items():
        if count > 1:
            message = f"expected each column once, found {name} {count} times among reals and categoricals"
            raise Refused(message)
    if clash := [name for name in read.targets if name in categoricals]:
        message = f"a target cannot be a categorical as well, found {', '.join(clash)}"
        raise Refused(message)
    if clash := [name for name in read.group_ids if name in reals]:
        message = f"a group id cannot be a real as well, found {', '.join(clash)}; train with a copy of the column"
        raise Refused(message)


def _names(names: Any) -> list[str]:
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)

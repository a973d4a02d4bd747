"""Read whether steps may be missing from a window, and by what they are filled.

In: the parameters of a data set, and the preprocessing read from them. Out: the constants by column, or None if no step
may be missing; or `Refused`, if the data set fills steps by more than the window itself. Knows no window.
"""

import math
import numbers
from collections.abc import Mapping
from typing import Any

from undertow.core.errors import Refused
from undertow.core.preprocessing import Preprocessing
from undertow.core.scalers import GroupScaler, WindowScaler


def read_fills(parameters: Mapping[str, Any], preprocessing: Preprocessing) -> Mapping[str, float | str] | None:
    """Read `allow_missing_timesteps` and `constant_fill_strategy`. Raises `Refused`."""
    if not parameters["allow_missing_timesteps"]:
        return None
    if preprocessing.lags:
        message = (
            "expected no lags where time steps may be missing (allow_missing_timesteps=True), found some: the data set "
            "lags by the steps that are there, so that no window knows how far back it must reach; fill the steps "
            "before training"
        )
        raise Refused(message)
    time = parameters["time_idx"]
    for real in preprocessing.reals:
        if real.name == time and real.role != "known":
            message = (
                f"expected the time index {time} to be a known real, or none, where time steps may be missing "
                "(allow_missing_timesteps=True): the data set spreads it evenly from the first step to the last one "
                f"of the forecast, found it as a real of another kind ({real.role})"
            )
            raise Refused(message)
    constants: Mapping[str, Any] = parameters["constant_fill_strategy"] or {}
    return {name: _constant(name, value, preprocessing) for name, value in constants.items()}


def _constant(name: str, value: Any, preprocessing: Preprocessing) -> float | str:
    for categorical in preprocessing.categoricals:
        if categorical.name == name and categorical.role in {"known", "unknown"}:
            encoder = next(one for one in preprocessing.encoders if one.name == categorical.encoder)
            if not isinstance(value, str) or (encoder.unknown is None and value not in encoder.codes):
                raise _refuse(name, f"one of its {len(encoder.codes)} categories of training", value)
            return str(value)
    targets = {target.name: target.scaler for target in preprocessing.targets}
    inputs = {real.name: real.scaler for real in preprocessing.reals if real.role in {"known", "unknown"}}
    inputs |= {real.name: targets[real.name] for real in preprocessing.reals if real.role == "target"}
    if name not in {*targets, *inputs} or name == preprocessing.time_column:
        raise _refuse(name, "a target, or a known or unknown column other than the time index", value)
    scaler = inputs.get(name)
    if isinstance(scaler, GroupScaler):
        one = "a scaler that is the same for all series, as a constant is scaled like the data set's first series"
        raise _refuse(name, one, value)
    if isinstance(scaler, WindowScaler) and name not in targets:
        raise _refuse(name, "no EncoderNormalizer, by which the data set cannot scale a constant", value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise _refuse(name, "a finite number", value)
    return float(value)


def _refuse(name: str, expected: str, value: Any) -> Refused:
    message = (
        f"the column {name} of constant_fill_strategy: expected {expected}, found the constant {value!r}; inputs are "
        "only built exactly or not at all"
    )
    return Refused(message)

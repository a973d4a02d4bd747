"""Every number that turns a window into a model's inputs, as plain frozen data.

In: numbers and names, once, when an artifact is packed. Out: `Preprocessing` and its exact JSON form: floats are
float64 and `json` writes them so that they come back bit-equal. Knows neither windows nor arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from undertow.core.scalers import NormScaler, Scaler, norm_from_json, scaler_from_json

RealRole = Literal["static", "known", "unknown", "target", "relative_time", "length", "center", "scale"]
"""Where the numbers of a real come from: a column of the window, or a computation (the last four)."""
CategoricalRole = Literal["static", "known", "unknown", "series"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEncoder:
    """The integer codes of categories."""

    name: str
    codes: Mapping[str | int, int]
    unknown: int | None = None
    """The code of every other category; if None, a window with another category is a reject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """One column of `encoder_cont` and `decoder_cont`."""

    name: str
    role: RealRole
    scaler: Scaler | None = None
    target: int = 0
    """Index of the target, for the roles target, center and scale; unused for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical:
    """One column of `encoder_cat` and `decoder_cat`."""

    name: str
    role: CategoricalRole
    encoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """A column that holds another column's values of some steps before."""

    name: str
    column: str
    """The source: a column of the past, possibly a target."""
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target: an observed column of the past."""

    name: str
    scaler: NormScaler
    """Scales the target where it is an input, too."""
    reported: NormScaler
    """Gives `target_scale`; it differs from `scaler` only in how pytorch-forecasting looks up groups."""
    reported_dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Everything by which a TimeSeriesDataSet builds `x`, without the data."""

    max_encoder_length: int
    prediction_length: int
    reals: tuple[Real, ...]
    """In the order of `encoder_cont`."""
    categoricals: tuple[Categorical, ...]
    """In the order of `encoder_cat`."""
    targets: tuple[Target, ...]
    several_targets: bool
    """Whether the model expects lists of targets (a list of one target counts)."""
    groups: tuple[tuple[str, str] | None, ...]
    """(series column, name of its encoder) for each column of `groups`; None if windows do not carry it (its code is
    0)."""
    encoders: tuple[LabelEncoder, ...]
    time_column: str | None = None
    """The dataset's time index, if it is an input as well; otherwise each window begins at time 0."""
    lags: tuple[Lag, ...] = ()
    """The reals and categoricals that are computed from other columns. Omitted from the JSON form if empty."""
    fills: Mapping[str, float | str] | None = None
    """If steps may be missing: the constants of columns of the past that are filled with one; other columns repeat the
    step before. None if no step may be missing; then omitted from the JSON form."""

    @property
    def max_lag(self) -> int:
        """How many extra steps a window has before the encoder's first."""
        return max((lag.steps for lag in self.lags), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "max_encoder_length": self.max_encoder_length,
            "prediction_length": self.prediction_length,
            "reals": [
                {
                    "name": real.name,
                    "role": real.role,
                    "scaler": None if real.scaler is None else real.scaler.to_json(),
                    "target": real.target,
                }
                for real in self.reals
            ],
            "categoricals": [{"name": c.name, "role": c.role, "encoder": c.encoder} for c in self.categoricals],
            "targets": [
                {
                    "name": target.name,
                    "scaler": target.scaler.to_json(),
                    "reported": target.reported.to_json(),
                    "reported_dtype": target.reported_dtype,
                }
                for target in self.targets
            ],
            "several_targets": self.several_targets,
            "groups": [None if group is None else list(group) for group in self.groups],
            "encoders": [
                {"name": e.name, "codes": [[label, code] for label, code in e.codes.items()], "unknown": e.unknown}
                for e in self.encoders
            ],
            "time_column": self.time_column,
            **({"lags": [[lag.name, lag.column, lag.steps] for lag in self.lags]} if self.lags else {}),
            **({} if self.fills is None else {"fills": dict(self.fills)}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """Read what `to_json` wrote."""
        return cls(
            max_encoder_length=data["max_encoder_length"],
            prediction_length=data["prediction_length"],
            reals=tuple(
                Real(
                    name=real["name"],
                    role=real["role"],
                    scaler=None if real["scaler"] is None else scaler_from_json(real["scaler"]),
                    target=real["target"],
                )
                for real in data["reals"]
            ),
            categoricals=tuple(
                Categorical(name=c["name"], role=c["role"], encoder=c["encoder"]) for c in data["categoricals"]
            ),
            targets=tuple(
                Target(
                    name=target["name"],
                    scaler=norm_from_json(target["scaler"]),
                    reported=norm_from_json(target["reported"]),
                    reported_dtype=target["reported_dtype"],
                )
                for target in data["targets"]
            ),
            several_targets=data["several_targets"],
            groups=tuple(None if group is None else (group[0], group[1]) for group in data["groups"]),
            encoders=tuple(
                LabelEncoder(name=e["name"], codes=dict(e["codes"]), unknown=e["unknown"]) for e in data["encoders"]
            ),
            time_column=data["time_column"],
            lags=tuple(Lag(name=name, column=column, steps=steps) for name, column, steps in data.get("lags", ())),
            fills=data.get("fills"),
        )

"""Strategies of hypothesis: arguments of a TimeSeriesDataSet over the frames that `conftest` makes."""

import itertools

from hypothesis import strategies as st
from pytorch_forecasting.data.encoders import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    NaNLabelEncoder,
    TorchNormalizer,
)
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

TRANSFORMATIONS = [None, "log", "log1p", "logit", "softplus", "relu", "count", "sqrt"]
OF_SKLEARN = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)
IDS = [["store"], ["store", "lap"], ["lap", "store"], ["store", "lap", "site"]]


def transformation():
    return st.sampled_from(TRANSFORMATIONS)


def method_kwargs():
    return st.sampled_from([None, {"upper": 0.9, "lower": 0.2, "center": 0.4}])


def encoder_normalizers():
    lengths = st.one_of(st.none(), st.integers(2, 9), st.lists(st.integers(2, 9), min_size=2, max_size=2))
    return st.builds(
        EncoderNormalizer,
        method=st.sampled_from(["standard", "standard", "robust", "identity"]),
        center=st.booleans(),
        max_length=lengths,
        transformation=transformation(),
        method_kwargs=method_kwargs(),
    )


@st.composite
def group_normalizers(draw, groups):
    chosen = draw(st.sampled_from(groups))
    return GroupNormalizer(
        groups=chosen,
        scale_by_group=bool(chosen) and draw(st.booleans()),
        method=draw(st.sampled_from(["standard", "robust"])),
        center=draw(st.booleans()),
        transformation=draw(transformation()),
        method_kwargs=draw(method_kwargs()),
    )


def target_normalizers(ids):
    trained = st.builds(
        TorchNormalizer,
        method=st.sampled_from(["standard", "robust", "identity"]),
        center=st.booleans(),
        transformation=transformation(),
        method_kwargs=method_kwargs(),
    )
    parts = [[name] for name in ids] if len(ids) == 2 else []  # of three ids the dataset cannot look up one
    return st.one_of(encoder_normalizers(), trained, group_normalizers([None, ids, ids[::-1], *parts]))


@st.composite
def options(draw):
    """Arguments of a TimeSeriesDataSet over the frame of these ids."""

    def some(*names):
        return draw(st.lists(st.sampled_from(names), unique=True))

    ids = draw(st.sampled_from(IDS))
    longest = draw(st.integers(3, 12))
    several = draw(st.booleans())
    targets = ["y0", "y1", "y2"][: draw(st.integers(1, 3))] if several else "y0"
    normalizers = [draw(target_normalizers(ids)) for _ in targets] if several else draw(target_normalizers(ids))
    of_one_number = st.one_of(
        st.builds(RobustScaler),
        st.builds(MaxAbsScaler),
        st.builds(MinMaxScaler, feature_range=st.sampled_from([(0, 1), (-0.7, 0.3)]), clip=st.booleans()),
        st.builds(StandardScaler, with_mean=st.booleans(), with_std=st.booleans()),
    )
    scalers = st.one_of(
        st.none(),
        of_one_number,
        encoder_normalizers(),
        group_normalizers([None, ids[:1], ids] if several else [None]),
    )
    reals = {"static": some("r0", "r1"), "known": some("k0", "k1", "time"), "unknown": some("u0", "u1", "y0", "y1")}
    observed = [targets] if isinstance(targets, str) else targets
    covariates = [name for name in itertools.chain(*reals.values()) if name not in {*observed, "time"}]
    computed = ["y0_center", "y0_scale", "relative_time_idx"]
    groups = draw(st.sampled_from([None, {"v": ["v0", "v1"]}]))
    labelled = ["cs", "ck", "cu", "store", "v" if groups else "v0"]
    known = some("ck", "v" if groups else "v0")
    return {
        "time_idx": "time",
        "group_ids": ids,
        "target": targets,
        "target_normalizer": MultiNormalizer(normalizers) if several else normalizers,
        "min_encoder_length": draw(st.integers(2, longest)),
        "max_encoder_length": longest,
        "max_prediction_length": draw(st.integers(1, 3)),
        "static_reals": reals["static"],
        "time_varying_known_reals": reals["known"],
        "time_varying_unknown_reals": reals["unknown"],
        "static_categoricals": some("cs", "store"),
        "time_varying_known_categoricals": known,
        "time_varying_unknown_categoricals": some("cu"),
        "variable_groups": groups if groups and "v" in known else None,
        "scalers": {name: draw(scalers) for name in covariates if draw(st.booleans())}
        | {name: draw(of_one_number) for name in computed if draw(st.booleans())},
        "categorical_encoders": {
            name: NaNLabelEncoder(add_nan=True, warn=False) for name in labelled if draw(st.booleans())
        },
        "add_relative_time_idx": draw(st.booleans()),
        "add_encoder_length": draw(st.sampled_from([True, False, "auto"])),
        "add_target_scales": draw(st.booleans()),
        "lags": {},
    }


@st.composite
def options_with_lags(draw):
    """The same with lags of those columns that a TimeSeriesDataSet can lag."""
    made = draw(options())
    targets = [made["target"]] if isinstance(made["target"], str) else made["target"]
    normalizers = getattr(made["target_normalizer"], "normalizers", [made["target_normalizer"]])
    never = {name for name, one in zip(targets, normalizers, strict=True) if type(one) is TorchNormalizer}
    reals = made["time_varying_known_reals"] + made["time_varying_unknown_reals"]
    labels = made["time_varying_known_categoricals"] + made["time_varying_unknown_categoricals"]
    for name in [*reals, *labels]:
        if name in never or name in (made["variable_groups"] or ()) or draw(st.booleans()):
            continue
        made["lags"][name] = draw(st.lists(st.integers(1, 7), min_size=1, max_size=2, unique=True))
        if name in reals and name not in targets:
            scaler = made["scalers"].setdefault(name, StandardScaler())
            if isinstance(scaler, OF_SKLEARN):
                scaler.fit([[0.2], [0.5], [0.7]])  # one that has been fitted by name refuses the name of the lag
    return made


@st.composite
def options_with_gaps(draw):
    """The same for frames with missing steps, with those constants that do not depend on other series or windows."""
    made = draw(options())
    made["allow_missing_timesteps"] = True
    reals = [*made["time_varying_known_reals"], *made["time_varying_unknown_reals"]]
    if "time" in reals:
        made["scalers"]["time"] = draw(st.sampled_from([StandardScaler(), MaxAbsScaler(), EncoderNormalizer(), None]))
    targets = [made["target"]] if isinstance(made["target"], str) else made["target"]
    normalizers = getattr(made["target_normalizer"], "normalizers", [made["target_normalizer"]])
    scalers = {**made["scalers"], **dict(zip(targets, normalizers, strict=True))}
    constants = {}
    for name in {*reals, *targets} - {"time"}:
        scaler = scalers.get(name)
        depends = isinstance(scaler, EncoderNormalizer) and name not in targets
        if not depends and not getattr(scaler, "_groups", None):
            constants[name] = draw(st.floats(0.01, 0.99))
    for name in [*made["time_varying_known_categoricals"], *made["time_varying_unknown_categoricals"]]:
        encoder = made["categorical_encoders"].get(name)
        labels = ["a", "c"] if encoder is None else ["a", "c", "never seen"]
        constants["v1" if name == "v" else name] = draw(st.sampled_from(labels))
    chosen = draw(st.lists(st.sampled_from(sorted(constants)), unique=True)) if constants else []
    made["constant_fill_strategy"] = {name: constants[name] for name in chosen}
    return made

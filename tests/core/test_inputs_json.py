import json
import math

from hypothesis import given
from hypothesis import strategies as st

from undertow.core.preprocessing import Categorical, LabelEncoder, Lag, Preprocessing, Real, Target
from undertow.core.scalers import FixedScaler, GroupScaler, GroupTable, RangeScaler, WindowScaler

NUMBERS = st.one_of(st.floats(allow_infinity=False, allow_nan=False), st.just(math.nan))
NAMES = st.text(max_size=5)
TRANSFORMATIONS = st.sampled_from([None, "log", "softplus"])
STEPS = st.one_of(st.none(), st.integers(1, 99))
FIXED = st.builds(FixedScaler, center=NUMBERS, scale=NUMBERS, transformation=TRANSFORMATIONS)
TABLES = st.builds(
    GroupTable,
    ids=st.just((("store", "store"), ("lap", "__group_id__lap"))),
    norms=st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.tuples(NUMBERS, NUMBERS), max_size=4),
    missing=st.tuples(NUMBERS, NUMBERS),
)
GROUPED = st.builds(GroupScaler, tables=st.tuples(TABLES), transformation=TRANSFORMATIONS)
WINDOWED = st.builds(
    WindowScaler,
    method=st.sampled_from(["standard", "robust", "identity"]),
    center=st.booleans(),
    center_steps=STEPS,
    scale_steps=STEPS,
    quantiles=st.tuples(*[st.floats(0, 1)] * 3),
    transformation=TRANSFORMATIONS,
)
FINITE = st.floats(allow_infinity=False, allow_nan=False)
RANGED = st.builds(RangeScaler, factor=FINITE, offset=FINITE, bounds=st.one_of(st.none(), st.tuples(FINITE, FINITE)))
NORMS = st.one_of(FIXED, GROUPED, WINDOWED)
SCALERS = st.one_of(NORMS, RANGED)
CODES = st.one_of(
    st.dictionaries(NAMES, st.integers(0, 9), max_size=4),
    st.dictionaries(st.integers(-(2**62), 2**62), st.integers(0, 9), max_size=4),
)
ENCODERS = st.builds(LabelEncoder, name=NAMES, codes=CODES, unknown=st.one_of(st.none(), st.integers(0, 9)))
REALS = st.builds(
    Real,
    name=NAMES,
    role=st.sampled_from(["static", "known", "unknown", "target", "length"]),
    scaler=st.one_of(st.none(), SCALERS),
    target=st.integers(0, 3),
)
TARGETS = st.builds(
    Target, name=NAMES, scaler=NORMS, reported=NORMS, reported_dtype=st.sampled_from(["float32", "float64"])
)
CATEGORICALS = st.builds(
    Categorical, name=NAMES, role=st.sampled_from(["static", "known", "unknown", "series"]), encoder=NAMES
)


def some(values):
    return st.lists(values, max_size=3).map(tuple)


@given(
    st.builds(
        Preprocessing,
        max_encoder_length=st.integers(1, 99),
        prediction_length=st.integers(1, 9),
        reals=some(REALS),
        categoricals=some(CATEGORICALS),
        targets=some(TARGETS),
        several_targets=st.booleans(),
        groups=some(st.one_of(st.none(), st.tuples(NAMES, NAMES))),
        encoders=some(ENCODERS),
        time_column=st.one_of(st.none(), NAMES),
        lags=some(st.builds(Lag, name=NAMES, column=NAMES, steps=st.integers(1, 99))),
    )
)
def test_every_number_comes_back_bit_equal_from_json(preprocessing):
    text = json.dumps(preprocessing.to_json(), allow_nan=False, sort_keys=True)
    # repr tells numbers, zeros of both signs, integers and booleans apart, and NaN is equal to NaN in it
    assert repr(Preprocessing.from_json(json.loads(text))) == repr(preprocessing)

"""Derive preprocessing and input contract from the parameters of a TimeSeriesDataSet.

In: the `dataset_parameters` that pytorch-forecasting saves in a checkpoint. Out: `Preprocessing`, and the
`InputContract` of the windows; or `Refused`, with the column and the reason, if an input cannot be built exactly from
a window. Knows no window.

The reference is a data set whose real columns are float64. Windows hold its time index only if that is an input, too;
then it is a column like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from undertow.artifact.pack.read.gaps import read_fills
from undertow.artifact.pack.read.normalizers import GROUP_ID, read_encoder, read_group_encoder, read_scaler, read_target
from undertow.artifact.pack.read.parameters import DatasetParameters, read_parameters
from undertow.core.encoding import uses
from undertow.core.errors import Refused
from undertow.core.preprocessing import Categorical, LabelEncoder, Preprocessing, Real, RealRole, Target
from undertow.core.scalers import GroupScaler, WindowScaler
from undertow.schemas.contract import Column, IdColumn, InputContract

OF_ONE_NUMBER = frozenset({MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler})
"""Scalers that can scale a computed number, which is in no data frame."""
DEVIATION_STEPS = 2
"""The fewest steps with a standard deviation."""


def extract(
    dataset_parameters: Mapping[str, Any], *, series: Sequence[IdColumn | str] | None = None
) -> tuple[Preprocessing, InputContract]:
    """Return preprocessing and contract. Raises `Refused`.

    `series` are the id columns of the windows, as `IdColumn` or as text (`wearer`, `wearer:string`, `lap:integer`); by
    default the data set's group ids. Group ids on which a category or a norm depends must be among them.
    """
    parameters = read_parameters(dataset_parameters)
    groups = _read_groups(parameters, may_lack=series is not None)
    types = {name: _id_column(name, encoder) for name, encoder in groups.items()}
    identity = tuple(types.values()) if series is None else tuple(_parse_id(one, types) for one in series)
    draft = _draft(parameters)
    for part, column, _ in uses(draft):
        if part == "series" and column not in groups:
            _read_group(parameters, column)  # raises the reason: this one is needed
        if part == "series" and types[column] not in identity:
            message = (
                f"expected the group id {_text(types[column])} among the windows' id columns, since a category or "
                f"a norm depends on it, found {', '.join(map(_text, identity))}"
            )
            raise Refused(message)
    draft = replace(
        draft,
        groups=tuple((name, GROUP_ID + name) if types.get(name) in identity else None for name in parameters.group_ids),
    )
    by_name = {encoder.name: encoder for encoder in groups.values()}
    encoders = tuple(
        by_name.get(name) or read_encoder(name, parameters.encoders.get(name))
        for name in dict.fromkeys(encoder for _, _, encoder in uses(draft))
    )
    preprocessing = replace(draft, encoders=encoders)
    preprocessing = replace(preprocessing, fills=read_fills(dataset_parameters, preprocessing))
    return preprocessing, _contract(preprocessing, parameters, identity)


def _read_groups(parameters: DatasetParameters, *, may_lack: bool) -> dict[str, LabelEncoder]:
    """Read the encoders of group ids. With `may_lack`, one that cannot be read is left out."""
    groups = {}
    for name in parameters.group_ids:
        try:
            groups[name] = _read_group(parameters, name)
        except Refused as refusal:
            if not may_lack:
                message = f"{refusal}; where no input depends on the group id, name ids of the windows: --series NAME"
                raise Refused(message) from None
    return groups


def _read_group(parameters: DatasetParameters, name: str) -> LabelEncoder:
    return read_group_encoder(GROUP_ID + name, parameters.encoders.get(GROUP_ID + name))


def _draft(parameters: DatasetParameters) -> Preprocessing:
    """Read everything except what depends on the windows' id columns."""
    targets = tuple(
        read_target(name, normalizer, parameters.group_ids)
        for name, normalizer in zip(parameters.targets, parameters.normalizers, strict=True)
    )
    reals = tuple(_real(parameters, name, role, targets, index) for name, role, index in parameters.reals)
    observed = {real.name for real in reals if real.role in {"known", "unknown"}}
    return Preprocessing(
        max_encoder_length=parameters.max_encoder_length,
        prediction_length=parameters.max_prediction_length,
        reals=reals,
        categoricals=tuple(
            Categorical(name=name, role="series" if name in parameters.group_ids else kind, encoder=encoder)
            for name, kind, encoder in parameters.categoricals
        ),
        targets=targets,
        several_targets=parameters.several_targets,
        groups=(),
        encoders=(),
        time_column=parameters.time_idx if parameters.time_idx in observed else None,
        lags=parameters.lags,
    )


def _real(parameters: DatasetParameters, name: str, role: RealRole, targets: Sequence[Target], index: int) -> Real:
    if role == "target":
        return Real(name=name, role=role, target=index)
    source = next((lag.column for lag in parameters.lags if lag.name == name), name)
    if source in parameters.targets:
        return Real(name=name, role=role, scaler=targets[parameters.targets.index(source)].scaler)
    if source not in parameters.scalers:
        message = f"the real {source}: expected a fitted scaler, or None, found no entry in the data set's scalers"
        raise Refused(message)
    scaler = read_scaler(source, parameters.scalers[source])
    if isinstance(scaler, WindowScaler) and role not in {"static", "known", "unknown"}:
        message = f"the computed real {name} cannot have an EncoderNormalizer"
        raise Refused(message)
    if isinstance(scaler, GroupScaler):
        _check_groups(parameters, name, scaler)
    if role in {"relative_time", "length"}:
        scaler = None  # the data set overwrites the scaled values
    is_own_norm = role in {"center", "scale"} and isinstance(targets[index].scaler, WindowScaler)
    if is_own_norm and type(parameters.scalers[name]) not in OF_ONE_NUMBER:
        message = (
            f"the real {name}: expected one of scikit-learn's scalers, the only ones that can scale the norm of a "
            f"target with an EncoderNormalizer, found {parameters.scalers[name]!r}"
        )
        raise Refused(message)
    return Real(name=name, role=role, scaler=scaler, target=index)


def _check_groups(parameters: DatasetParameters, name: str, scaler: GroupScaler) -> None:
    categoricals = {column for column, _, _ in parameters.categoricals}
    encoded = parameters.group_ids if parameters.encodes_groups else categoricals.intersection(parameters.group_ids)
    for column in dict.fromkeys(column for table in scaler.tables for column, _ in table.ids):
        if column not in encoded:
            message = (
                f"the real {name}: expected a GroupNormalizer by group ids that the data set encodes "
                f"({', '.join(encoded) or 'none'}), found {column}"
            )
            raise Refused(message)


def _contract(
    preprocessing: Preprocessing, parameters: DatasetParameters, identity: tuple[IdColumn, ...]
) -> InputContract:
    encoders = {encoder.name: encoder for encoder in preprocessing.encoders}
    reals = [(real.name, real.role, None) for real in preprocessing.reals]
    labelled = [(one.name, one.role, encoders[one.encoder]) for one in preprocessing.categoricals]
    lagged = {lag.name for lag in preprocessing.lags}
    carried = [one for one in [*reals, *labelled] if one[0] not in lagged]

    def columns(*roles: str) -> tuple[Column, ...]:
        return tuple(_column(name, encoder) for name, role, encoder in carried if role in roles)

    scalers = [*(target.scaler for target in preprocessing.targets), *(real.scaler for real in preprocessing.reals)]
    deviates = any(isinstance(scaler, WindowScaler) and scaler.method == "standard" for scaler in scalers)
    min_length = max(1, parameters.min_encoder_length, DEVIATION_STEPS if deviates else 1)
    if parameters.max_encoder_length < min_length:
        message = f"expected max_encoder_length of at least {min_length}, found {parameters.max_encoder_length}"
        raise Refused(message)
    future = columns("known")
    return InputContract(
        series=identity,
        past=(*(Column(name=target.name) for target in preprocessing.targets), *columns("known", "unknown")),
        future=future,
        static=columns("static"),
        min_length=min_length + preprocessing.max_lag,
        max_length=parameters.max_encoder_length + preprocessing.max_lag,
        horizon=parameters.max_prediction_length if future else 0,
        allows_gaps=preprocessing.fills is not None,
    )


def _column(name: str, encoder: LabelEncoder | None) -> Column:
    if encoder is None:
        return Column(name=name)
    # The unknown category is left out: it has a name ("nan"), which a window may use, but no meaning.
    categories = tuple(str(label) for label, code in encoder.codes.items() if code != encoder.unknown)
    return Column(name=name, categories=categories, accepts_unknown=encoder.unknown is not None)


def _id_column(name: str, encoder: LabelEncoder) -> IdColumn:
    is_integer = any(isinstance(label, int) for label in encoder.codes)
    return IdColumn(name=name, type="integer" if is_integer else "string")


def _parse_id(text: IdColumn | str, types: Mapping[str, IdColumn]) -> IdColumn:
    if isinstance(text, IdColumn):
        return text
    name, _, kind = text.partition(":")
    match kind:
        case "string" | "integer":
            return IdColumn(name=name, type=kind)
        case "":
            return types.get(name, IdColumn(name=name, type="string"))
    message = f"expected an id column as NAME, NAME:string or NAME:integer, found {text!r}"
    raise Refused(message)


def _text(column: IdColumn) -> str:
    return f"{column.name}:{column.type}"

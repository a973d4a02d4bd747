"""The proof of inputs at pack time: it accepts what the data set builds, and sees every kind of difference."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows
from undertow.artifact.pack.certify.reference import check_inputs
from undertow.artifact.pack.read.dataset import extract
from undertow.core.errors import Refused
from undertow.core.preprocessing import Preprocessing
from undertow.core.scalers import FixedScaler
from undertow.schemas.windows import WindowBatch

Case = tuple[WindowBatch, Preprocessing, Any]


@pytest.fixture(scope="module")
def case(trained: Callable[[str], Any]) -> Case:
    parameters = trained("tft").dataset.get_parameters()
    preprocessing, contract = extract(parameters)
    return sample_windows(contract, preprocessing, sample_lengths(contract)), preprocessing, parameters


def test_what_the_data_set_builds_is_accepted_number_by_number(case: Case) -> None:
    windows, preprocessing, parameters = case
    steps = int(windows.lengths.sum())
    assert check_inputs(windows, preprocessing, parameters) > steps * len(preprocessing.reals)


def test_training_may_have_numbered_its_steps_from_any_number_on(case: Case) -> None:
    windows, preprocessing, parameters = case
    later = {**parameters, "min_prediction_idx": 84_960}
    assert check_inputs(windows, preprocessing, later) == check_inputs(windows, preprocessing, parameters)


@pytest.mark.parametrize("name", ["lagged-tft", "lagged-lstm"])
def test_lagged_columns_are_accepted_and_seen_where_they_lag_by_another_step(
    name: str, trained: Callable[[str], Any]
) -> None:
    parameters = trained(name).dataset.get_parameters()
    preprocessing, contract = extract(parameters)
    windows = sample_windows(contract, preprocessing, sample_lengths(contract))
    assert windows.lengths.tolist()[:1] == [12 + preprocessing.max_lag]
    assert check_inputs(windows, preprocessing, parameters) > 0
    *others, last = preprocessing.lags
    with pytest.raises(Refused, match=r"is not what .* builds"):
        check_inputs(windows, replace(preprocessing, lags=(*others, replace(last, steps=last.steps - 1))), parameters)


def shift(preprocessing: Preprocessing) -> Preprocessing:
    """Move the centre of one covariate by two parts in a million."""
    reals = tuple(
        replace(real, scaler=replace(real.scaler, center=real.scaler.center * (1 + 2e-6) + 1e-6))
        if isinstance(real.scaler, FixedScaler) and real.role == "unknown"
        else real
        for real in preprocessing.reals
    )
    return replace(preprocessing, reals=reals)


def swap(preprocessing: Preprocessing) -> Preprocessing:
    """Give two categories each other's code."""
    encoders = tuple(
        replace(encoder, codes=dict(zip(encoder.codes, [*encoder.codes.values()][::-1], strict=True)))
        for encoder in preprocessing.encoders
    )
    return replace(preprocessing, encoders=encoders)


def reorder(preprocessing: Preprocessing) -> Preprocessing:
    """Put the columns in another order."""
    return replace(preprocessing, reals=preprocessing.reals[::-1])


def shorten(preprocessing: Preprocessing) -> Preprocessing:
    """Forget a decoder step."""
    return replace(preprocessing, prediction_length=preprocessing.prediction_length - 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shift, "encoder_cont is not what .* builds"),
        (swap, "_cat is not what .* builds|groups is not what .* builds"),
        (reorder, "_cont is not what .* builds"),
        (shorten, "is not what .* builds"),
    ],
)
def test_inputs_that_differ_are_refused(
    change: Callable[[Preprocessing], Preprocessing], message: str, case: Case
) -> None:
    windows, preprocessing, parameters = case
    with pytest.raises(Refused, match=message):
        check_inputs(windows, change(preprocessing), parameters)

"""Percentiles of fixed buckets, against numpy's of the observations themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.stream.histogram import EDGES_S, empty, of, percentile

RESOLUTION = max(EDGES_S[1:] / EDGES_S[:-1])

durations = st.lists(st.floats(EDGES_S[0], EDGES_S[-1]), min_size=1, max_size=200)
shares = st.sampled_from([0.125, 0.25, 0.5, 0.75, 1.0])  # exact, so that rounding never chooses another observation


@given(durations, shares)
def test_a_percentile_is_at_most_one_bucket_above_the_observation_that_numpy_names(seconds, share):
    exact = np.quantile(seconds, share, method="inverted_cdf")
    assert exact <= percentile(of(seconds), share) <= exact * RESOLUTION * (1 + 1e-12)


@given(durations, durations)
def test_the_sum_of_two_histograms_is_the_histogram_of_both(some, others):
    assert (of(some) + of(others)).tolist() == of(some + others).tolist()


@given(durations)
def test_observing_one_by_one_counts_what_observing_at_once_counts(seconds):
    counts = sum((of([one]) for one in seconds), empty())
    assert counts.tolist() == of(seconds).tolist()
    assert counts.sum() == len(seconds)


@given(durations, shares, shares)
def test_a_larger_share_never_has_a_smaller_percentile(seconds, one, other):
    counts = of(seconds)
    assert percentile(counts, min(one, other)) <= percentile(counts, max(one, other))


def test_the_resolution_is_the_promised_eight_percent():
    assert RESOLUTION < 1.083


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, EDGES_S[0]), (1e9, EDGES_S[-1]), (EDGES_S[7], EDGES_S[7])])
def test_what_is_on_a_border_is_shown_exactly_and_what_is_outside_as_the_nearest_border(seconds, shown):
    assert percentile(of([seconds]), 0.5) == shown


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_without_observations_there_is_no_percentile(share):
    assert percentile(empty(), share) is None
    assert percentile(of([]), share) is None

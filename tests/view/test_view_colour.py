"""What the colours say, and where labels come from."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import LinearSegmentedColormap
from scipy.spatial.distance import cdist

from undertow.core.errors import Refused
from undertow.schemas.times import Span
from undertow.view.colour import VIRIDIS, Categories, Scale, categories, choose_colours
from undertow.view.labels import join_labels
from undertow.view.read import read_rows

BEGIN_US = 1_767_225_600_000_000


@pytest.fixture
def rows(write_part):
    return read_rows(write_part(), feature=None, sample=5000, span=Span())


def with_column(rows, name, values):
    return replace(rows, frame=rows.frame.assign(**{name: values}))


def names(colouring):
    return [colouring.entries[code].name for code in colouring.codes]


# Colours -------------------------------------------------------------------------------------------------------------


def test_the_twelve_most_frequent_categories_are_shown_and_the_rest_is_other():
    values = np.repeat([f"c{n:02d}" for n in range(20)], np.arange(30, 10, -1)).astype(object)
    found = categories(values, title="c")
    assert [entry.name for entry in found.entries] == [*(f"c{n:02d}" for n in range(12)), "other (8)"]
    looks = {(entry.colour, entry.marker) for entry in found.entries}
    assert len(looks) == 13
    counts = np.bincount(found.codes)
    assert counts.tolist() == [*range(30, 18, -1), sum(range(11, 19))]


def test_numbers_within_names_are_sorted_as_numbers():
    found = categories(np.array(["s10", "s2", "s2b", "a", 7, 30], object), title="c")
    assert [entry.name for entry in found.entries] == ["7", "30", "a", "s2", "s2b", "s10"]


def test_missing_values_are_a_category_of_their_own_named_none():
    found = categories(np.array(["b", None, "a", float("nan")], object), title="c")
    assert [entry.name for entry in found.entries] == ["a", "b", "none"]
    assert found.codes.tolist() == [1, 2, 0, 2]


def test_the_entity_is_all_ids_together(rows):
    found = choose_colours(rows, "entity")
    assert found.title == "wearer arm"
    assert names(found) == [f"{a} {b}" for a, b in zip(rows.frame["wearer"], rows.frame["arm"], strict=True)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(40), Scale),
        (np.arange(40) % 12, Categories),
        (np.arange(40) / 7, Scale),
        (np.arange(40) % 2 == 0, Categories),
        ([f"{n}" for n in range(40)], Categories),
        ([None, *range(39)], Scale),
        (pd.date_range("2026-01-01", periods=40, tz="UTC"), Scale),
    ],
)
def test_numbers_and_times_have_a_scale_and_whatever_has_few_values_has_categories(rows, values, kind):
    found = choose_colours(with_column(rows, "c", values), "c")
    assert type(found) is kind
    if kind is Scale:
        expected = pd.Series(values)
        if found.is_time:
            expected = expected.dt.as_unit("us").astype("int64")
        np.testing.assert_array_equal(found.numbers, expected.astype(float))


def test_an_outlier_does_not_paint_all_others_alike_and_the_scale_says_so(rows):
    found = choose_colours(with_column(rows, "c", [1e9, *np.linspace(0, 1, 39)]), "c")
    assert found.high < 1e9
    texts = [text for _, text in found.ticks()]
    assert texts[0].startswith("≤ ")
    assert texts[-1].startswith("≥ ")
    even = choose_colours(with_column(rows, "c", [0.5] * 10 + [1.5] * 30), "c")
    assert [text for _, text in even.ticks()] == ["0.5", "0.75", "1", "1.25", "1.5"]


def test_time_is_shown_as_precisely_as_the_span_needs(rows):
    found = choose_colours(rows, "time")
    assert found.numbers.tolist() == rows.event_us.tolist()
    assert found.ticks()[1][1] == "2026-01-01 00:00:19"
    days = choose_colours(replace(rows, event_us=BEGIN_US + np.arange(40) * 86_400_000_000), "time")
    assert days.ticks()[1][1] == "2026-01-20"


def test_drift_is_the_distance_from_the_earlier_halfs_centre_in_its_spreads(rows):
    found = choose_colours(rows, "drift")
    order = np.argsort(rows.event_us)
    earlier = rows.vectors[order[:20]].astype(float)
    to_centre = cdist(rows.vectors, earlier.mean(axis=0)[None])[:, 0]
    spread = np.sqrt(np.trace(np.cov(earlier.T, bias=True)))
    np.testing.assert_allclose(found.numbers, to_centre / spread)
    assert np.mean(found.numbers[order[:20]] ** 2) == pytest.approx(1.0)
    with pytest.raises(Refused, match="all the same vector"):
        choose_colours(
            replace(rows, vectors=np.where(rows.event_us[:, None] < np.median(rows.event_us), 1, 2)), "drift"
        )


def test_a_column_that_is_not_there_is_refused_with_the_closest(rows):
    with pytest.raises(
        Refused, match=r"cannot colour by 'wearr': there are wearer, arm, entity, time, drift; .*'wearer'"
    ):
        choose_colours(rows, "wearr")


def test_our_colours_are_matplotlibs_viridis():
    ours, theirs = LinearSegmentedColormap.from_list("ours", VIRIDIS), mpl.colormaps["viridis"]
    shares = np.linspace(0, 1, 256)
    np.testing.assert_allclose(ours(shares), theirs(shares), atol=0.03)


# Labels --------------------------------------------------------------------------------------------------------------


def label_table(rows):
    seconds = (rows.event_us - BEGIN_US) // 1_000_000
    frame = rows.frame.assign(
        event_timestamp=pd.to_datetime(rows.event_us, unit="us", utc=True), exercise=[f"e{n // 10}" for n in seconds]
    )
    return frame.sort_values("event_timestamp")


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_labels_are_joined_by_ids_and_event_time_whatever_their_order(rows, tmp_path, name):
    table, path = label_table(rows).query("exercise != 'e3'"), tmp_path / name
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    joined, found = join_labels(rows, path)
    assert found == ("exercise",)
    seconds = (joined.event_us - BEGIN_US) // 1_000_000
    assert joined.frame["exercise"].fillna("none").tolist() == [f"e{n // 10}" if n < 30 else "none" for n in seconds]
    assert names(choose_colours(joined, "exercise")) == joined.frame["exercise"].fillna("none").tolist()


def test_labels_without_a_time_hold_for_every_row_of_the_ids_they_have(rows, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("wearer,age\ns0,31\ns1,52\ns2,44\n")
    joined, _ = join_labels(rows, path)
    assert joined.frame["age"].tolist() == [{"s0": 31, "s1": 52, "s2": 44}[who] for who in rows.frame["wearer"]]


def test_labels_that_fit_nothing_or_fit_twice_are_refused(rows, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("person,age\ns0,31\n")
    with pytest.raises(Refused, match=r"one or more of the id columns wearer, arm .* found person, age"):
        join_labels(rows, path)
    path.write_text("wearer,age\ns0,31\ns0,32\n")
    with pytest.raises(Refused, match="found more than one for wearer=s0"):
        join_labels(rows, path)
    path.write_text("wearer,age\nx0,31\n")
    with pytest.raises(Refused, match="no row has a label"):
        join_labels(rows, path)
    path.write_text("wearer,event_timestamp,age\ns0,yesterday,31\n")
    with pytest.raises(Refused, match=r"expected event_timestamp in .* as ISO 8601"):
        join_labels(rows, path)

"""`undertow view`: what is read of a log or a file, what is drawn, and what the page holds."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.decomposition import PCA

from schemas.contract import IdColumn
from schemas.embeddings import EmbeddingBatch
from schemas.records import Partition
from schemas.spaces import SpaceView
from workers.adapters.offline_log import FileOfflineLog
from workers.cli import main
from workers.core.errors import Refused
from workers.core.ports import Part
from workers.view.colours import colour
from workers.view.points import read_points
from workers.view.project import project
from workers.view.show import view

SPACE = "5" * 64


def make_frame(count: int, *, size: int = 6, space: str = SPACE, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "wearer": [f"s{row % 7}" for row in range(count)],
            "event_timestamp": pd.to_datetime(1.7e9 + 60.0 * np.arange(count), unit="s", utc=True),
            "created": pd.Timestamp("2026-01-01", tz="UTC"),
            "embedding": list(rng.normal(size=(count, size)).astype(np.float32)),
            "space": space,
            "load": np.linspace(0.0, 1.0, count),
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "embeddings.parquet"
    make_frame(400).to_parquet(path)
    return path


def test_the_offline_log_is_read_part_by_part(tmp_path: Path) -> None:
    space = SpaceView(
        name="wearers", space=SPACE, series=(IdColumn(name="wearer", type="string"),), features=(("hidden", 3),)
    )
    log = FileOfflineLog(tmp_path, space, cluster_id="c", topic_id="t", writer="w", clock=lambda: 1.0)
    for first in (0, 10):
        offsets = np.arange(first, first + 10)
        vectors = np.random.default_rng(first).normal(size=(10, 3)).astype(np.float32)
        batch = EmbeddingBatch(
            space=SPACE,
            series={"wearer": np.array(["a", "b"] * 5, object)},
            event_us=offsets * 1_000_000,
            features={"hidden": vectors},
        )
        log.publish(Part(partition=Partition("w", 0), first=first, next=first + 10, embeddings=batch, offsets=offsets))
    points = read_points(tmp_path / SPACE, sample=100)
    assert (points.vectors.shape, points.total, points.ids, points.space) == ((20, 3), 20, ("wearer",), SPACE)


def test_a_sample_is_even_the_same_each_time_and_in_the_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    make_frame(20_000, size=2).to_parquet(path, row_group_size=3_000)
    points = read_points(path, sample=2_000)
    assert (len(points.vectors), points.total) == (2_000, 20_000)
    assert points.rows["event_timestamp"].is_monotonic_increasing
    counts, _ = np.histogram(points.rows["load"], bins=10, range=(0, 1))
    assert np.abs(counts - 200).max() < 60  # four standard deviations of an even draw
    pd.testing.assert_frame_equal(points.rows, read_points(path, sample=2_000).rows)


def test_a_row_delivered_twice_is_one_point_and_the_one_created_last(tmp_path: Path) -> None:
    frame = make_frame(50)
    again = frame.assign(created=pd.Timestamp("2026-02-01", tz="UTC"), load=9.0)
    path = tmp_path / "twice.parquet"
    pd.concat([again.iloc[:25], frame, again.iloc[25:]]).to_parquet(path)
    points = read_points(path, sample=1_000)
    assert len(points.vectors) == 50
    assert set(points.rows["load"]) == {9.0}


def test_spaces_are_not_mixed_unless_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.parquet"
    pd.concat([make_frame(20), make_frame(30, space="6" * 64, seed=1)]).to_parquet(path)
    with pytest.raises(Refused, match="several spaces, which share no axes; name one by --space: 5555"):
        read_points(path, sample=100)
    assert len(read_points(path, sample=100, space="66").vectors) == 30


def test_only_a_span_of_time_is_read_where_one_is_asked_for(file: Path) -> None:
    start = int(1.7e9 * 1e6)
    points = read_points(file, sample=1_000, since_us=start + 60_000_000 * 100, until_us=start + 60_000_000 * 200)
    assert len(points.vectors) == 100


def test_the_pca_is_scikit_learns_with_its_signs_fixed(file: Path) -> None:
    vectors = read_points(file, sample=1_000).vectors
    found = project(vectors)
    reference = PCA(n_components=2).fit(vectors.astype(np.float64))
    assert found.shares == pytest.approx(reference.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found.pca), np.abs(reference.transform(vectors.astype(np.float64))), atol=1e-9)
    np.testing.assert_allclose(project(-vectors).pca, -project(vectors).pca, atol=1e-9)


def test_drift_is_the_distance_from_where_the_first_half_lay(tmp_path: Path) -> None:
    frame = make_frame(200)
    frame["embedding"] = [vector + (5.0 if row >= 150 else 0.0) for row, vector in enumerate(frame["embedding"])]
    frame.to_parquet(tmp_path / "drift.parquet")
    drift = np.array(colour(read_points(tmp_path / "drift.parquet", sample=1_000), "drift").values)
    assert drift[150:].min() > drift[:150].max()


def test_rare_categories_become_one_and_many_numbers_a_scale(tmp_path: Path) -> None:
    frame = make_frame(300)
    frame["kind"] = [f"k{min(row // 10, 20)}" for row in range(300)]
    frame.to_parquet(tmp_path / "kinds.parquet")
    points = read_points(tmp_path / "kinds.parquet", sample=1_000)
    names = colour(points, "kind").names
    assert (len(names), names[-1]) == (12, "other")
    assert colour(points, "load").ends == ("0", "1")
    assert colour(points, "time").ends == ("2023-11-14 22:13", "2023-11-15 03:12")
    with pytest.raises(Refused, match="no column 'speed' to colour by; there are entity, time, drift, wearer"):
        colour(points, "speed")


class Page(HTMLParser):
    """Collects what a browser would fetch, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.fetched += [str(value) for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def data(self) -> dict:
        (script,) = self.scripts
        return json.loads(re.search(r"const data = (.*);\n", script)[1])


HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_the_page_holds_every_point_fetches_nothing_and_no_name_breaks_out(tmp_path: Path) -> None:
    frame = make_frame(60)
    frame.loc[3, "wearer"] = HOSTILE
    frame.to_parquet(tmp_path / "e.parquet")
    view(tmp_path / "e.parquet", [tmp_path / "space.html"], title=HOSTILE)
    text = (tmp_path / "space.html").read_text()
    page = Page(text)
    assert page.fetched == []
    assert "http" not in text
    data = page.data()
    assert len(data["names"]) == len(data["times"]) == 60
    assert all(len(panel["points"]) == 60 and None not in panel["points"] for panel in data["panels"])
    assert data["names"][3] == data["title"] == HOSTILE
    assert data["names"][3] in data["colour"]["groups"]
    assert "first component, " in data["panels"][0]["x"]


def test_pictures_are_written_and_say_of_how_many_rows_they_are_a_sample(file: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"out/space{suffix}" for suffix in (".png", ".svg", ".html")]
    command = ["view", str(file), "--sample", "90", "--colour", "time", *(f"--output={path}" for path in outputs)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("90 of 400 embeddings: ")
    assert outputs[0].read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in outputs[1].read_text()
    assert "90 of 400 embeddings, drawn evenly" in Page(outputs[2].read_text()).data()["subtitle"]


def test_labels_of_another_file_colour_the_points(file: Path, tmp_path: Path) -> None:
    labels = pd.DataFrame({"wearer": [f"s{row}" for row in range(6)], "sport": ["run", "rest"] * 3})
    labels.to_parquet(tmp_path / "labels.parquet")
    view(file, [tmp_path / "space.html"], labels=tmp_path / "labels.parquet", by="sport")
    data = Page((tmp_path / "space.html").read_text()).data()
    assert data["colour"]["groups"] == ["(no label)", "rest", "run"]
    names, groups = data["names"], data["colour"]["group"]
    assert {(name, data["colour"]["groups"][group]) for name, group in zip(names, groups, strict=True)} == {
        *((f"s{row}", ("run", "rest")[row % 2]) for row in range(6)),
        ("s6", "(no label)"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.iloc[:3], "expected at least 5 embeddings"),
        (lambda frame: frame.assign(embedding=[np.ones(3, np.float32)] * len(frame)), "are the same vector"),
        (lambda frame: frame.drop(columns="embedding"), "expected one column of vectors .* found none"),
        (lambda frame: frame.assign(other=frame["embedding"]), "by --feature, found embedding, other"),
    ],
)
def test_what_cannot_be_seen_is_refused(change, message: str, tmp_path: Path) -> None:
    change(make_frame(40)).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(Refused, match=message):
        view(tmp_path / "e.parquet", [tmp_path / "space.html"])


def test_other_outputs_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"ends in .html, .png, .svg, found .*space.gif"):
        view(tmp_path / "nothing", [tmp_path / "space.gif"])

"""The command from end to end: files that open, that say what they show, and that can do no harm."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree as ET

import matplotlib.image as mpimg
import numpy as np
import pytest
from click.testing import CliRunner

from undertow.cli.main import main
from undertow.schemas.spaces import SpaceView
from undertow.view.colour import categories
from undertow.view.draw import render
from undertow.view.picture import Picture, Projection
from undertow.view.write import WRITERS

EVIL = "</script><img src=x onerror=alert(1)>&{{data}}<!--$x_$\x07"


def run(*arguments, code=0):
    done = CliRunner().invoke(main, ["view", *map(str, arguments)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def svg_texts(path):
    return " ".join(ET.parse(path).getroot().itertext())  # noqa: S314 - written a moment ago


class Page(HTMLParser):
    """Every element, and the text of those that matter."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self._open = dict(attributes).get("id") or tag

    def handle_data(self, data):
        self.texts[self._open] = self.texts.get(self._open, "") + data

    @property
    def data(self):
        return json.loads(self.texts["data"])


def test_the_three_kinds_are_written_and_the_picture_says_that_it_is_a_sample(write_part, tmp_path):
    outputs = [tmp_path / "out" / f"space.{kind}" for kind in ("html", "png", "svg")]
    options = [option for output in outputs for option in ("--output", output)]
    said = run(write_part(), *options, "--sample", 20, "--colour", "drift", "--title", "A space")
    shown = "2026-01-01 00:00 UTC"
    note = f"embedding, 4 dimensions · space aaaaaaaa · an even sample of 20 of 40 rows · {shown}"
    assert said.splitlines() == [note, *map(str, outputs)]
    assert outputs[1].read_bytes().startswith(b"\x89PNG")
    texts = svg_texts(outputs[2])
    share = r"first component, \d+\.\d% of the variance"
    drift = r"drift \(spreads from the earlier half's centre\)"
    for text in (note, "A space", share, r"second component, \d+\.\d%", drift, "t-SNE", "for looking only"):
        assert re.search(text, texts), text
    page = Page(outputs[0].read_text())
    assert (page.data["title"], page.data["note"], page.texts["title"].strip()) == ("A space", note, "A space")
    assert re.fullmatch(share, page.data["plots"][0]["horizontal"])


def test_the_page_holds_every_sampled_row_in_both_projections(write_part, tmp_path):
    run(write_part(), "--output", tmp_path / "space.html")
    data = Page((tmp_path / "space.html").read_text()).data
    assert [len(plot["points"]) for plot in data["plots"]] == [80, 80]
    assert all(0 <= place <= data["grid"] for plot in data["plots"] for place in plot["points"])
    seconds = [(us - 1_767_225_600_000_000) // 1_000_000 for us in data["time"]]
    assert sorted(seconds) == list(range(40))
    ids = {name: [column["values"][code] for code in column["codes"]] for name, column in data["ids"].items()}
    assert ids == {"wearer": [f"s{n % 3}" for n in seconds], "arm": [str(n % 2) for n in seconds]}
    shown = [data["colour"]["entries"][code]["name"] for code in data["colour"]["codes"]]
    assert shown == [f"s{n % 3} {n % 2}" for n in seconds]


def test_the_page_asks_the_network_for_nothing(write_part, tmp_path):
    run(write_part(), "--output", tmp_path / "space.html")
    text = (tmp_path / "space.html").read_text()
    assert (
        re.findall(r"https?:|//|\bsrc\s*=|\bhref|url\(|@import|\bimport\b|fetch|XMLHttp", text.partition('data">')[0])
        == []
    )
    assert re.findall(r"https?:|\bsrc\s*=|\bhref|url\(|@import|\bimport\b|fetch|XMLHttp|innerHTML", text) == []
    assert not {name for name, _ in Page(text).attributes} & {"src", "href", "srcset", "action"}


def test_an_id_or_a_title_that_is_markup_stays_text(write_part, tmp_path):
    outputs = [tmp_path / f"space.{kind}" for kind in ("html", "png", "svg")]
    options = [option for output in outputs for option in ("--output", output)]
    run(
        write_part(wearer=EVIL.replace("{", "{{").replace("}", "}}") + "{}"),
        *options,
        "--title",
        EVIL,
        "--colour",
        "wearer",
    )
    page = Page(outputs[0].read_text())
    assert page.data["title"] == EVIL
    assert set(page.data["ids"]["wearer"]["values"]) == {f"{EVIL}{n}" for n in range(3)}
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    texts = svg_texts(outputs[2])
    assert "</script><img src=x onerror=alert(1)>" in texts


def test_an_underscore_or_a_long_name_still_has_its_place_in_the_legend(write_part, tmp_path):
    run(write_part(wearer="_{}" + "y" * 90), "--output", tmp_path / "a.svg", "--colour", "wearer")
    texts = svg_texts(tmp_path / "a.svg")
    assert all(f" _{n}{'y' * 29}…" in texts for n in range(3))


def test_nothing_reaches_the_edge_of_the_image():
    names = ["abduction", "external rotation", "forward elevation", "internal rotation", "pendulum", "row"]
    names.append("trapezius extension")
    rng = np.random.default_rng(0)
    picture = Picture(
        title="t" * 200,
        note="n" * 60,
        projection=Projection(pca=rng.normal(size=(5000, 2)), shares=(0.5, 0.25), tsne=rng.normal(size=(3000, 2))),
        colouring=categories(np.array([*names, None] * 625, object), title="exercise"),
        ids={},
        event_us=None,
    )
    assert picture.tsne_axis().startswith("3,000 of the points, ")
    image, rim = mpimg.imread(BytesIO(render(picture, form="png")))[..., :3], 12
    for edge in (image[:rim], image[-rim:], image[:, :rim], image[:, -rim:]):
        assert (edge == 1).all()


def test_the_same_rows_give_the_same_files(write_part, tmp_path):
    folder = write_part()
    for name in ("a", "b"):
        run(folder, *(part for kind in WRITERS for part in ("--output", tmp_path / f"{name}{kind}")))
    for kind in WRITERS:
        assert (tmp_path / f"a{kind}").read_bytes() == (tmp_path / f"b{kind}").read_bytes(), kind


def test_labels_of_one_column_are_the_colours(write_part, tmp_path):
    (tmp_path / "people.csv").write_text("wearer,age\ns0,young\ns1,old\n")
    run(write_part(), "--labels", tmp_path / "people.csv", "--output", tmp_path / "space.html")
    colour = Page((tmp_path / "space.html").read_text()).data["colour"]
    assert [colour["title"], *(entry["name"] for entry in colour["entries"])] == ["age", "old", "young", "none"]


@dataclass
class Artifact:
    """As much of a manifest as the command reads."""

    space: str

    def view(self):
        return SpaceView(name="watch", space=self.space, series=(), features=(("embedding", 4),))


def test_without_a_source_the_artifacts_space_in_the_offline_log_is_drawn(write_part, tmp_path, monkeypatch):
    write_part(space="a" * 64)
    root = write_part(space="b" * 64, rows=30).parent
    settings = ["--set", f"offline.path={root}", "--output", tmp_path / "space.html"]
    monkeypatch.setattr("undertow.view.run.read_manifest", lambda _: Artifact("b" * 64))
    assert run(*settings).startswith("embedding, 4 dimensions · space bbbbbbbb · 30 rows · ")
    assert Page((tmp_path / "space.html").read_text()).data["title"] == "The space of watch__bbbbbbbb"
    monkeypatch.setattr("undertow.view.run.read_manifest", lambda _: Artifact("c" * 64))
    assert "the offline log has nothing of watch__cccccccc" in run(*settings, code=1)


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--output", "space.jpg"], "ends with .html, .png, .svg, found space.jpg", 2),
        (["--since", "yesterday"], "expected --since and --until as 2026-01-31T12:00:00Z, found yesterday", 2),
        (["--colour", "mood"], "cannot colour by 'mood'", 1),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(write_part, options, message, code):
    said = run(write_part(), *options, code=code)
    assert said.splitlines()[-1].startswith("Error: " if code == 2 else "error: ")
    assert message in said


def test_without_the_extra_the_line_that_installs_it_is_named_before_anything_is_read(write_part, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    said = run(write_part(), code=1)
    assert (
        said
        == "error: undertow view: expected the package sklearn, found it not installed: pip install 'undertow[view]'\n"
    )


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from undertow.cli.main import main; main(['view', '-h'], standalone_mode=False);"
        "print({'torch', 'feast', 'pandas', 'numpy', 'matplotlib', 'sklearn', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"

"""The documentation site: built without a warning, complete, and asking no other host for anything."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import click
import fastavro
import pytest
from pydantic import BaseModel

import undertow
from undertow import testing
from undertow.cli.main import main
from undertow.core.extras import PACKAGES
from undertow.fleet.metrics import DEFINITIONS
from undertow.schemas.records import REASONS
from undertow.settings.settings import Settings

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docs/site/mkdocs.yml"
BUILD = """
import json, logging, sys
from mkdocs.commands.build import build
from mkdocs.config import load_config
logging.basicConfig(level=logging.WARNING, format="%(message)s")
build(load_config(sys.argv[1], strict=True, **json.loads(sys.argv[2])))
print(sorted({"torch", "ray", "feast", "kafka"} & set(sys.modules)))
"""
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""Elements that make a browser fetch something, `<a>` being none."""


class Page(HTMLParser):
    """What a page loads, links to, can be linked to, and shows as code."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links, self.ids, self.code, self.prose = [], [], set(), [], ""
        self._is_code = self._is_paragraph = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag in LOADING and LOADING[tag] in attrs:
            self.loaded.append(attrs[LOADING[tag]])
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        self._is_paragraph = self._is_paragraph or tag == "p"
        if tag == "pre":
            self._is_code = True
            self.code.append("")

    def handle_endtag(self, tag):
        self._is_code = self._is_code and tag != "pre"
        self._is_paragraph = self._is_paragraph and tag != "p"
        self.prose += "\n" if tag == "p" else ""

    def handle_data(self, data):
        if self._is_code:
            self.code[-1] += data
        elif self._is_paragraph:
            self.prose += data


def build(**options):
    command = [sys.executable, "-c", BUILD, str(CONFIG), json.dumps(options)]
    silent = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=silent)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    return folder, build(site_dir=str(folder))


@pytest.fixture(scope="session")
def pages(built):
    folder, _ = built
    return {path.relative_to(folder).as_posix(): Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}


def test_the_site_is_built_without_a_warning_and_without_torch_ray_or_feast(built):
    folder, done = built
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (folder / "index.html").is_file()
    assert done.stdout.strip() == "[]"


def test_a_link_an_anchor_and_a_part_that_lead_nowhere_fail_the_build(tmp_path):
    lines = ("# A page", "[a](gone.md)", "[b](#gone)", "[c](../deploy/GONE.md)", "<!-- generated: gone -->")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "page.md").write_text("\n\n".join(lines))
    done = build(site_dir=str(tmp_path / "site"), docs_dir=str(docs), nav=["page.md"])
    assert done.returncode != 0
    for what in ("'gone.md'", "'#gone'", "'../deploy/GONE.md'", "'gone', which is none of"):
        assert what in done.stderr
    assert len(done.stderr.splitlines()) == len(lines) - 1


def test_what_ci_runs_is_strict_and_not_quiet_for_then_mkdocs_counts_no_warning():
    command = [shutil.which("make"), "--dry-run", "docs"]
    steps = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (step,) = (line for line in steps.splitlines() if "mkdocs build" in line)
    assert "--strict" in step
    assert not {"--quiet", "-q"} & set(step.split())
    assert "docs" in re.search(r"^check: (.*?)(?: ##|$)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()


def test_no_page_makes_a_browser_ask_another_host(built, pages):
    folder, _ = built
    assert [(name, url) for name, page in pages.items() for url in page.loaded if urlsplit(url).netloc] == []
    styles = {path.name: path.read_text() for path in folder.rglob("*.css")}
    assert [name for name, text in styles.items() if re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text)] == []


def test_what_a_page_loads_is_in_the_site(built, pages):
    folder, _ = built
    pages = {name: page for name, page in pages.items() if name != "404.html"}  # a server's, for paths of any depth
    there = [(name, url) for name, page in pages.items() for url in page.loaded if not urlsplit(url).scheme]
    assert [
        (name, url) for name, url in there if not (folder / name).parent.joinpath(urlsplit(url).path).exists()
    ] == []


def test_links_to_other_hosts_are_well_formed(pages):
    out = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    assert out, "the changelog has one"
    for link in out:
        parts = urlsplit(link)
        assert parts.scheme in {"http", "https"}, link
        assert re.fullmatch(r"(127\.0\.0\.1|([a-z0-9-]+\.)+[a-z]{2,})(:\d+)?", parts.netloc), link
        assert " " not in link, link


def test_no_list_table_or_block_is_run_into_a_paragraph(pages):
    """What GitHub takes for one, the site's markdown may not: it asks for a blank line before."""
    marks = re.compile(r"^ *(?:[-*] .*|-|\d+\. .*|\|.*|```.*)$", re.MULTILINE)
    assert {name: found for name, page in pages.items() if (found := marks.findall(page.prose))} == {}


def test_the_public_address_is_a_placeholder_in_one_place_alone():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert set(urls) == {"Documentation", "Repository", "Issues", "Changelog"}
    for page in (ROOT / "docs").rglob("*.md"):
        assert "OWNER" not in page.read_text(), page


def test_the_reference_has_every_command_with_its_options(pages, built):
    page, text = pages["reference/commands.html"], (built[0] / "reference/commands.html").read_text()
    assert set(main.commands) <= page.ids
    options = [option for one in main.commands.values() for option in one.params if isinstance(option, click.Option)]
    assert [option.opts for option in options if not option.help] == []
    assert [name for option in options for name in option.opts if name not in text] == []


def keys_of(model, prefix=""):
    for name, field in model.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        yield from keys_of(field.annotation, f"{prefix}{name}.") if is_section else [f"{prefix}{name}"]


def test_the_reference_has_every_setting_with_its_variable_and_what_it_does(pages, built):
    page, text = pages["reference/settings.html"], (built[0] / "reference/settings.html").read_text()
    rows = re.findall(r"<tr>\n<td>(.*?)</td>\n<td>(.*?)</td>\n<td>(.*?)</td>", text, re.DOTALL)
    assert [re.findall(r"<code[^>]*>(.*?)</code>", name) for name, _, _ in rows] == [
        [key, f"UNDERTOW_{key.replace('.', '__').upper()}"] for key in sorted_as_shown(keys_of(Settings))
    ]
    assert set(keys_of(Settings)) <= page.ids
    assert all(default and does for _, default, does in rows)


def sorted_as_shown(keys):
    return sorted(keys, key=lambda key: "." not in key)


def test_the_reference_has_every_public_name_metric_and_reason(pages, built):
    names = [f"undertow.{name}" for name in undertow.__all__] + [f"undertow.testing.{name}" for name in testing.__all__]
    assert [name for name in names if name not in pages["reference/python.html"].ids] == []
    metrics = (built[0] / "reference/metrics.html").read_text()
    assert [one.name for one in DEFINITIONS if f"<code>ray_{one.in_ray}</code>" not in metrics] == []
    formats = (built[0] / "reference/wire-formats.html").read_text()
    assert [reason for reason in REASONS if f"<td><code>{reason}</code></td>" not in formats] == []


def test_the_reference_has_every_extra_that_a_command_may_ask_for(built):
    text = (built[0] / "reference/installing.html").read_text()
    assert [extra for extra in PACKAGES if f"<td><code>{extra}</code></td>" not in text] == []


def test_the_examples_are_shown_whole(pages):
    shown = [code.strip() for code in pages["examples/index.html"].code]
    programs = [path.read_text().strip() for path in (ROOT / "docs/examples").glob("*.py")]
    books = [json.loads(path.read_text()) for path in (ROOT / "docs/examples").glob("*.ipynb")]
    cells = ["".join(c["source"]).strip() for book in books for c in book["cells"] if c["cell_type"] == "code"]
    assert programs
    assert cells
    assert [text for text in (*programs, *cells) if text not in shown] == []


def test_the_samples_are_one_window_in_each_format(pages):
    blocks = pages["reference/wire-formats.html"].code
    window, schema = (json.loads(block) for block in blocks[:2])
    dump = "".join(line[:48] for line in blocks[2].splitlines())
    read = fastavro.schemaless_reader(BytesIO(bytes.fromhex(dump)), fastavro.parse_schema(schema))
    assert read["end"].isoformat(timespec="microseconds") == window["end"].replace("Z", "+00:00")
    assert {name: read[name] for name in ("series", "past")} == {name: window[name] for name in ("series", "past")}
    assert bytes.fromhex(blocks[3][:48]).startswith(bytes([0, 0, 0, 0, 7]) + bytes.fromhex(dump)[:11])
    assert json.loads(blocks[5]) == window

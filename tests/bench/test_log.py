"""The benchmark of a maintained log runs, and leaves nothing out."""

import importlib
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.main import main

SMALL = ["--parts", "60", "--before", "32", "--days", "0.0002", "--every", "4", "--grace", "8", "--looks", "2"]


@pytest.fixture
def bench(monkeypatch):
    """The benchmark's modules by the names that they have as scripts, which nobody else shall see."""
    before = {*sys.modules}
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    yield importlib.import_module
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(Path(__file__).parents[1])):
            del sys.modules[name]


@pytest.fixture
def in_this_process(bench, monkeypatch, capsys):
    """Let what is measured run here, which spares the imports of twenty processes."""
    cases = bench("log_cases")

    def spend(words, folder, environment=None):  # noqa: ARG001  # as the real one
        if words[0] == str(cases.UNDERTOW):
            done = CliRunner().invoke(main, words[1:], env=environment)
            assert done.exit_code == 0, done.output
            return cases.Spent(seconds=1.0, cpu_s=2.0, mib=3.0), done.output
        monkeypatch.setattr(sys, "argv", words[words.index(cases.__file__) :])
        kept = capsys.readouterr().out
        cases.main()
        said = capsys.readouterr().out
        print(kept, end="")
        return cases.Spent(seconds=1.0, cpu_s=2.0, mib=3.0), said

    monkeypatch.setattr(cases, "spend", spend)
    monkeypatch.setattr(cases, "SAMPLE", 20)  # few to draw


@pytest.mark.usefixtures("in_this_process")
def test_a_log_of_a_few_parts_is_measured_and_its_tables_are_whole(bench, monkeypatch, capsys):
    log = bench("log")
    monkeypatch.setattr(sys, "argv", ["log.py", *SMALL])
    log.main()
    found = tables(capsys.readouterr().out)
    assert [len(rows) for rows in found] == [11, 2, 2, 10]
    beside, sizes, costs, month = found
    assert all(all(row) for table in (beside, sizes, costs) for row in table)
    parts, rows = ([int(row[at].replace(",", "")) for row in sizes] for at in (1, 2))
    assert parts == [32 + 4 * 8, 32 + 4 * 8 + 4 * 16]
    assert rows == [2 * parts[0] + 4 * 8 * 2, 2 * parts[1] + 4 * 8 * 2]  # in the days a part has the rows of two
    assert [row[0] for row in month[:2]] == ["files at any moment", "view --sample 20, s"]
    assert {row[-1] for row in month if row[-2]} <= {"yes", "no"}
    assert all(row[1] and row[2] for row in month)


def test_what_a_process_takes_is_its_own(bench, tmp_path):
    cases = bench("log_cases")
    held = bytearray(200 << 20)
    spent, said = cases.spend([sys.executable, "-S", "-c", "print('a'); print('b')"], tmp_path)
    assert (said, len(held)) == ("a\nb", 200 << 20)
    assert 0 < spent.mib < 100
    with pytest.raises(AssertionError, match="no such thing"):
        cases.spend([sys.executable, "-S", "-c", "raise SystemExit('no such thing')"], tmp_path)


def tables(text):
    """Return the rows of each table of Markdown, without its headings."""
    found = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    cells = [rows for rows in found if rows]
    rules = [next(at for at, row in enumerate(rows) if set(row[0]) == {"-"}) for rows in cells]
    return [rows[rule + 1 :] for rows, rule in zip(cells, rules, strict=True)]

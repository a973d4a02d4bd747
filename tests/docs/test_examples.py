"""The examples of the manual run as they stand, in the manual's own project."""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docs.follow import in_project

EXAMPLES = Path(__file__).parents[2] / "docs/examples"

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(900)]


def test_an_lstm_of_ones_own_is_packed_and_embeds_a_frame_without_any_server(tmp_path):
    shutil.copy(EXAMPLES / "own_lstm.py", tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ".", "HOME": str(tmp_path)}
    command = [sys.executable, "own_lstm.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "can be tapped: ['rnn', 'head']" in done.stdout
    assert "vectors: (4, 32) refused: 0" in done.stdout


def test_the_notebook_holds_no_outputs_and_its_cells_run_in_order(follow):
    folder, environment = follow("how-to/own-model.md")
    notebook = json.loads((EXAMPLES / "space.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []
    names = {}
    with in_project(folder, {**environment, "MPLBACKEND": "Agg"}):
        for cell in cells:
            exec("".join(cell["source"]), names)  # noqa: S102 as a notebook does
    assert names["vectors"].shape == (256, 16)
    assert names["nearest"][0] == 0
    names["plt"].close("all")


@pytest.fixture
def reader():
    """The example as a module: it imports nothing of ours."""
    source = (EXAMPLES / "reader.py").read_text()
    assert "import undertow" not in source
    names = {"__name__": "reader"}
    exec(compile(source, "reader.py", "exec"), names)  # noqa: S102 it lies where nothing is imported from
    return SimpleNamespace(**names)


def model_of_what_is_served(folder, reader):
    """Return a model that takes a vector's first number, of the space served by now: a later page promotes another."""
    service = reader.FeatureStore(str(folder / "feature_repo")).get_feature_service("pumps")
    return {"view": service.feature_view_projections[0].name, "weights": [1.0] + [0.0] * 15}


def test_the_reader_scores_and_says_what_is_missing_old_or_of_another_space(follow, reader):
    folder, _ = follow("how-to/read-from-another-model.md")
    model = model_of_what_is_served(folder, reader)
    leaks = reader.Leaks(str(folder / "feature_repo"), "pumps", model)
    old = leaks.score("site-0", time.time())  # the example's windows are of early 2026
    event_s = time.time() - old["age_seconds"]
    assert old["status"] == "old"
    assert leaks.score("nowhere", event_s) == {"status": "missing"}
    found = leaks.score("site-0", event_s + 60)
    assert (found["status"], round(found["age_seconds"])) == ("ok", 60)
    assert 0 < abs(found["score"]) < 1  # a state of an LSTM
    leaks.close()
    other = reader.Leaks(str(folder / "feature_repo"), "pumps", {**model, "view": "pumps__00000000"})
    assert other.score("site-0", event_s)["status"] == "retrain"


OF_A_TERMINAL = """
import runpy, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell lets its background jobs ignore
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_reader_answers_over_http_and_ends_by_ctrl_c(follow, reader):
    folder, environment = follow("how-to/read-from-another-model.md")
    (folder / "served.json").write_text(json.dumps(model_of_what_is_served(folder, reader)))
    program = [sys.executable, "-W", "ignore", "-c", OF_A_TERMINAL, EXAMPLES / "reader.py"]
    command = [*program, "feature_repo", "pumps", "served.json", "0"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            port = service.stdout.readline().split()[-1]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?site=nowhere", timeout=60) as answer:
                assert json.load(answer) == {"status": "missing"}
            service.send_signal(signal.SIGINT)
            assert service.wait(30) == 0
        finally:
            service.kill()

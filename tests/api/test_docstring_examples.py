"""Each example in the docstrings of the public API does what it says."""

import doctest
import sys

import pytest
import torch

import undertow
from tests.api.conftest import NET, TOML

# `load` and what follows take what `pack` wrote.
SHOWN = ("Feature", "Taps", "pool", "taps", "pack", "load", "ArtifactEmbedder", "windows")


@pytest.fixture(scope="module")
def _in_a_project(tmp_path_factory):
    """A folder with a module of somebody's own, and its weights, which is the working directory."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "net.py").write_text(NET)
    (folder / "net.toml").write_text(TOML.format(package="net"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))  # for the process that loads what was packed
        patch.chdir(folder)
        torch.save(__import__("net").Net().state_dict(), "net.pt")
        yield
    del sys.modules["net"]


@pytest.mark.usefixtures("_in_a_project")
@pytest.mark.parametrize("name", SHOWN)
def test_the_examples_of_a_public_name_do_what_they_say(name):
    tests = doctest.DocTestFinder().find(getattr(undertow, name), name, globs={"undertow": undertow})
    assert any(test.examples for test in tests), f"{name} has no example"
    said = []
    for test in tests:
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert said == []

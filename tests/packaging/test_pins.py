"""The pins of constraints.txt lie in the ranges of pyproject.toml, and leave room for what users put beside them."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.part import PYPROJECT

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def pins():
    """Return for each distribution its pinned versions: one for each set of machines."""
    found = {}
    for line in CONSTRAINTS.read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            pin = Requirement(line.rstrip(" \\"))
            (only,) = pin.specifier
            found.setdefault(canonicalize_name(pin.name), []).append(only.version)
    return found


@pytest.mark.parametrize("extra", ["", *PYPROJECT["optional-dependencies"]])
def test_each_range_holds_its_pin(extra):
    pinned = pins()
    for text in PYPROJECT["optional-dependencies"][extra] if extra else PYPROJECT["dependencies"]:
        need = Requirement(text)
        if need.name != "undertow":
            versions = pinned.get(canonicalize_name(need.name), [])
            assert versions, f"{need.name} has no pin: make constraints"
            assert all(need.specifier.contains(version) for version in versions), f"{text}: pinned at {versions}"


def test_the_pins_leave_room_for_feast_on_gcp():
    (version,) = pins()["python-dateutil"]
    assert version in Requirement("python-dateutil>=2.1,<3").specifier

"""This environment with a part of its packages only: those that `undertow[EXTRA,...]` would bring into an empty one.

As a program, `python part.py EXTRAS < commands.json` runs commands so, and prints of each its exit code and output.
"""

import json
import sys
import tomllib
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]


def distributions(extras):
    """Return the names of what these extras need, and of what that needs, for this machine."""
    found, waiting = set(), [Requirement(f"undertow[{','.join(extras)}]")]
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        for text in needs(*key):
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
                waiting.append(need)
    return {name for name, _ in found}


def needs(name, extras):
    if name != "undertow":
        return requires(name) or []
    own = PYPROJECT["optional-dependencies"]  # an editable install may be older
    return [*PYPROJECT["dependencies"], *(text for extra in extras for text in own[extra])]


def hide_all_but(extras):
    """Let this process find no package that these extras do not bring."""
    kept = distributions(extras)
    brought = packages_distributions().items()
    hidden = {module for module, owners in brought if not kept & {canonicalize_name(owner) for owner in owners}}

    class Part(PathFinder):
        @classmethod
        def find_spec(cls, fullname, path=None, target=None):
            return None if fullname.partition(".")[0] in hidden else super().find_spec(fullname, path, target)

    sys.meta_path[sys.meta_path.index(PathFinder)] = Part
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        del sys.modules[name]


def run(commands):
    from click.testing import CliRunner  # noqa: PLC0415 what is left of the packages is seen only now

    from undertow.cli.main import main  # noqa: PLC0415

    results = [CliRunner().invoke(main, command) for command in commands]
    return [(result.exit_code, result.output) for result in results]


if __name__ == "__main__":
    hide_all_but([extra for extra in sys.argv[1].split(",") if extra])
    print(json.dumps(run(json.load(sys.stdin))))

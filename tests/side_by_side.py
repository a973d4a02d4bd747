"""All tests, in two processes side by side: most of them wait for servers, or compute on one core of two.

In: options of pytest. Out: what both print, the second's when both have ended; the exit status is 0 where both passed.
Each process has servers of its own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("artifact", "inputs", "history", "view", "adapters", "backfill", "devstack", "observations", "api")
SECOND = tuple(f"tests/{name}" for name in ("test_readme.py", "docs", "packaging", *ROOMS))
"""Those who follow pages word by word, and those who compute or need a server alone: about half of the time. No clock
matters in them, unlike in the tests of a fleet, which stay one after another."""


def run(options: list[str]) -> int:
    """Run both; return the exit status."""
    pytest = [sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryFile() as output:
        second = subprocess.Popen([*pytest, *SECOND], cwd=ROOT, stdout=output, stderr=output)
        first = subprocess.Popen([*pytest, *(f"--ignore={path}" for path in SECOND)], cwd=ROOT)
        try:
            codes = [first.wait(), second.wait()]
        except KeyboardInterrupt:  # a terminal's Ctrl-C has reached both
            codes = [first.wait(), second.wait()]
        output.seek(0)
        sys.stdout.write(output.read().decode(errors="replace"))
    return max(map(abs, codes))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

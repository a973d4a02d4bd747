"""Load an artifact in a new process, which has seen nothing but its folder, as a replica does.

In: an artifact's folder. Out: the vectors of its sample windows. Knows no checkpoint and no trained model: something
that this process unpickled, defined or ran before may let the folder load here, and nowhere else.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from undertow.core.embedder import VectorsByFeature
from undertow.core.errors import Refused, UndertowError

Afresh = Callable[[Path, Collection[str], int], VectorsByFeature]
"""A function (folder, packages whose code may run, threads) that loads the artifact and returns the sample vectors by
feature, (samples, d) each. Raises `Refused`."""

FORECASTER = "forecaster"
LINES = 5
"""How many of the last lines of a failed process are shown: enough for the error and its place."""


@contextlib.contextmanager
def fresh_process(*, is_forecaster: bool = False) -> Iterator[Afresh]:
    """Start a process that imports in the background what a replica imports, and embeds once, when asked.

    With `is_forecaster` it imports pytorch-forecasting ahead, too. It finds code by the environment alone (PYTHONPATH
    and installed packages), as a replica does.
    """
    command = [sys.executable, "-P", "-m", __name__, *([FORECASTER] if is_forecaster else [])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace") as process:

        def ask(folder: Path, code: Collection[str], threads: int) -> VectorsByFeature:
            request = {"folder": str(folder.absolute()), "code": list(code), "threads": threads}
            answer, errors = process.communicate(json.dumps(request) + "\n")
            return _read(answer, errors, process.returncode)

        try:
            yield ask
        finally:
            process.kill()  # if it was never asked; otherwise it has ended


def look_afresh(folder: Path, code: Collection[str], threads: int) -> VectorsByFeature:
    """Load the artifact in a process started now, and return its sample vectors."""
    with fresh_process() as ask:
        return ask(folder, code, threads)


def sample_vectors(folder: Path, code: Collection[str], threads: int) -> VectorsByFeature:
    """Load the artifact in this process, on the CPU, and return its sample vectors."""
    from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows  # noqa: PLC0415 likewise
    from undertow.artifact.format.manifest import read_manifest  # noqa: PLC0415 likewise
    from undertow.artifact.load.loader import open_embedder  # noqa: PLC0415 imports torch, which the asking process need not wait for

    manifest = read_manifest(folder)
    embedder = open_embedder(folder, manifest, device="cpu", threads=threads, code=code)
    try:
        lengths = sample_lengths(manifest.contract)
        embedded = embedder.embed(sample_windows(manifest.contract, manifest.preprocessing, lengths))
    finally:
        embedder.close()
    if embedded.faults:
        message = f"a sample window cannot be embedded: {embedded.faults[0].detail}"
        raise Refused(message)
    return dict(embedded.embeddings.features)


def _read(answer: str, errors: str, code: int) -> VectorsByFeature:
    said = json.loads(answer) if answer else {}
    if "vectors" in said:
        return {name: np.array(rows, np.float32) for name, rows in said["vectors"].items()}
    detail = said.get("refused") or " / ".join(
        [f"it ended with {code}", *(line.strip() for line in errors.splitlines()[-LINES:])]
    )
    message = f"nothing was written: in a new process, as in a replica, the artifact does not load: {detail}"
    raise Refused(message)


def main() -> None:
    """Import, wait for one request on standard input, answer it by one line of JSON."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what foreign code prints must not mix with the answer
    import undertow.artifact.load.loader  # noqa: PLC0415 while nobody waits for it yet

    if FORECASTER in sys.argv:
        import undertow.artifact.load.models  # noqa: F401, PLC0415 likewise
    line = sys.stdin.readline()
    if not line:
        return
    request = json.loads(line)
    try:
        vectors = sample_vectors(Path(request["folder"]), request["code"], request["threads"])
    except UndertowError as error:
        said: dict[str, object] = {"refused": str(error)}
    else:
        said = {"vectors": {name: array.tolist() for name, array in vectors.items()}}
    with answer:
        json.dump(said, answer)


if __name__ == "__main__":
    main()

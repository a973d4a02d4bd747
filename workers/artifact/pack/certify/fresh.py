"""What an artifact gives to a process that has seen nothing but its folder, as a replica has not.

In: an artifact's folder. Out: the vectors of its sample windows. Knows no checkpoint and no trained model: what a
process has unpickled, defined or run before may be just what lets a folder load there, and nowhere else.
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
"""Loads the artifact in a folder, with packages whose code may run and threads; returns its sample vectors by feature,
each (samples, d). Raises `Refused`."""

FORECASTER = "forecaster"
LINES = 5
"""Of what a process that failed has written: the error itself, and where."""


@contextlib.contextmanager
def fresh_process(*, is_forecaster: bool = False) -> Iterator[Afresh]:
    """Start a process that imports what a replica does, beside whatever is done meanwhile; it embeds once, when asked.

    `is_forecaster` lets it import pytorch-forecasting ahead, too. It finds code where the environment alone leads to
    (PYTHONPATH, and what is installed), as a replica does.
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
            process.kill()  # where it was never asked; otherwise it has ended


def look_afresh(folder: Path, code: Collection[str], threads: int) -> VectorsByFeature:
    """Do it in a process that is started now."""
    with fresh_process() as ask:
        return ask(folder, code, threads)


def sample_vectors(folder: Path, code: Collection[str], threads: int) -> VectorsByFeature:
    """Do it in this process, on the CPU."""
    from undertow.artifact.dry_runs.sample import sample_lengths, sample_windows  # noqa: PLC0415 likewise
    from undertow.artifact.format.manifest import read_manifest  # noqa: PLC0415 likewise
    from undertow.artifact.load.loader import open_embedder  # noqa: PLC0415 torch, which who only asks need not wait for

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
    message = f"nothing was written: in a process of its own, as a replica is, the artifact does not load: {detail}"
    raise Refused(message)


def main() -> None:
    """Import, wait for one request on the standard input, answer it in one line of JSON."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what foreign code prints is no answer
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

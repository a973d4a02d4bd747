"""Where Feast's registry lies in an object store: what is needed to read it, and the variables that its client reads.

In: `FeastSettings`, which know how a store is reached. Out: environment variables; `Refused` for a package that is not
installed. Knows no view. Feast reads a registry at `s3://` by boto3, which takes its login from the environment.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from types import MappingProxyType

from undertow.adapters.feast_config import load_config
from undertow.core.errors import Refused
from undertow.settings.sections import FeastSettings

STORE_PACKAGES = {"s3": ("boto3", "undertow[aws]"), "gs": ("google.cloud.storage", "feast[gcp]")}
"""By the scheme of a registry's address: what Feast reads it with, and the extra that brings it."""
_KEY = MappingProxyType(
    {
        "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    }
)
_GIVEN: tuple[tuple[Mapping[str, str], tuple[str, ...]], ...] = (
    (_KEY, (*_KEY.values(), "AWS_PROFILE")),
    ({"endpoint": "FEAST_S3_ENDPOINT_URL"}, ("FEAST_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
    ({"region": "AWS_DEFAULT_REGION"}, ("AWS_DEFAULT_REGION",)),
    ({"ca_file": "AWS_CA_BUNDLE"}, ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")),
)
"""Options of a store with the variables of boto3 and Feast, and the variables by which a user has said it himself: the
parts of a key belong together, so none is given beside one of his."""


def registry_scheme(feast: FeastSettings) -> str:
    """Return what the registry's address begins with, such as `s3`; of a file its whole path."""
    config = feast.repo / feast.config
    registry = load_config(config.resolve()).get("registry")
    address = registry.get("path") if isinstance(registry, Mapping) else registry
    return str(address).partition("://")[0]


def require_registry(feast: FeastSettings) -> None:
    """Raise `Refused` where the registry lies in an object store, and what Feast reads it with is not installed."""
    scheme = registry_scheme(feast)
    package, extra = STORE_PACKAGES.get(scheme, ("", ""))
    if package and not _is_installed(package):
        message = (
            f"Feast's registry ({feast.repo / feast.config}) is at {scheme}://...: expected the package {package}, by "
            f"which Feast reads it, found it not installed: pip install '{extra}'"
        )
        raise Refused(message)


def variables(feast: FeastSettings) -> dict[str, str]:
    """Return the variables that Feast needs for a registry in S3, without those that the user has set himself."""
    if registry_scheme(feast) != "s3":
        return {}
    options = feast.store.options()
    return {
        variable: value
        for words, said in _GIVEN
        if not any(os.environ.get(name) for name in said)
        for option, variable in words.items()
        if (value := getattr(options, option))
    }


@contextlib.contextmanager
def logged_in(feast: FeastSettings) -> Iterator[None]:
    """Set these variables while Feast makes its client, and no longer: obstore reads some of them, too."""
    if lent := variables(feast):
        import boto3  # noqa: PLC0415  an optional extra

        os.environ.update(lent)
        boto3.setup_default_session()  # it keeps the login that it had at first
    try:
        yield
    finally:
        for name in lent:
            os.environ.pop(name, None)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # a part of what its name begins with is missing
        return False

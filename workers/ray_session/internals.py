"""Our uses of Ray's private API, each with a fallback where a release no longer has it.

In: nothing. Out: Ray's state. Knows nothing of fleets. No other module imports a private name of Ray.
"""

import contextlib
import logging
from collections.abc import Iterator

log = logging.getLogger(__name__)


def draining_nodes() -> frozenset[str] | None:
    """Return the ids of the nodes that are being drained; None if this release cannot tell. Needs a session."""
    try:
        from ray._private.state import state  # noqa: PLC0415 a release may be without it

        ask = state.get_draining_nodes
    except (ImportError, AttributeError):
        return None
    return frozenset(ask())


def show_token() -> None:
    """Make this process send the user's token, if there is one, to the Ray that it joins.

    Ray itself does so only if it also finds the address by itself. If this release lacks the function,
    RAY_AUTH_MODE=token in the environment does the same.
    """
    try:
        from ray._private.authentication import authentication_token_setup as setup  # noqa: PLC0415 likewise

        show = setup.maybe_enable_token_auth_if_token_available
    except (ImportError, AttributeError):
        log.warning("this release of Ray cannot be told to show its token; if it is asked for: RAY_AUTH_MODE=token")
        return
    logging.getLogger(setup.__name__).setLevel(logging.ERROR)  # it would say so each time
    show(warn_if_disabled=False)


def found_ray() -> str:
    """Return the address of the Ray that `auto` finds; `auto` if this release cannot tell. Raises `OSError`."""
    try:
        from ray._private.services import canonicalize_bootstrap_address_or_die as find  # noqa: PLC0415 likewise
    except ImportError:
        return "auto"
    return str(find("auto"))


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """Within the context, make Ray use 127.0.0.1 as this machine's address, so that it listens nowhere else.

    Ray does so by default on macOS and Windows; its public options replace a loopback address by the network's. If this
    release lacks the constant, Ray listens on all addresses, and only its token keeps others out.
    """
    try:
        from ray._private import ray_constants as constants  # noqa: PLC0415 likewise

        before = constants.ENABLE_RAY_CLUSTER
    except (ImportError, AttributeError):
        log.warning("this release of Ray cannot be told to listen on 127.0.0.1 alone; its token keeps others out")
        yield
        return
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before

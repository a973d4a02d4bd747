"""The Ray session that fleets and backfills run on: a cluster started for one command, or an existing one.

In: settings. Out: a session. Knows nothing of what runs on it.
"""

import contextlib
import math
import os
import signal
from collections.abc import Iterator

import ray
from ray.exceptions import RayError

from undertow.core.errors import Refused
from undertow.ray_session.internals import found_ray, show_token
from undertow.ray_session.names import announced_address
from undertow.ray_session.start import (
    give_back,
    keep_token_private,
    of_this_machine,
    reaching,
    refuse_bad_folder,
    without_noise,
)
from undertow.settings.sections import FleetSettings

NAMESPACE = "undertow"
_TOKEN = "~/.ray/auth_token"  # noqa: S105  a place
OBJECT_STORE_BYTES = 128 << 20  # windows never pass through Ray's object store


@contextlib.contextmanager
def ray_session(settings: FleetSettings, *, replicas: int) -> Iterator[None]:
    """Join the Ray that the settings name, or start one that ends with this block; inside another block, share its."""
    if ray.is_initialized():
        yield
        return
    own = signal.getsignal(signal.SIGTERM)
    if settings.address == "local":
        # Ray's C++ side prints advice about actors as errors, past every logger; what fails reaches us as exceptions.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        # Ray would run its workers at niceness 15: behind the broker, the stores and all else on the machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Logical CPUs: those of the replicas, and one for what starts beside them, whatever the machine has.
        cpus = max(os.cpu_count() or 1, math.ceil(replicas * settings.num_cpus) + 1)
        refuse_bad_folder(os.getpid())
        keep_token_private()
        try:
            with of_this_machine(), without_noise():
                ray.init(
                    address="local",
                    namespace=NAMESPACE,
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    logging_level="ERROR",
                )
        except Exception as error:  # of a node that is not up in time Ray raises no class of its own
            said = " ".join(str(error).split())[:200]
            message = f"Ray did not start on this machine; where that is only busy, start again: {said}"
            raise Refused(message) from error
    else:
        join_ray(settings)
    give_back(own)
    try:
        yield
    finally:
        ray.shutdown()
        give_back(own)


def join_ray(settings: FleetSettings) -> None:
    """Join the Ray of a fleet that runs already. Raises `Refused` if there is none."""
    if ray.is_initialized():
        return
    address = settings.address
    if address == "local":
        address = announced_address(settings.name)
    if settings.address in {"local", "auto"}:
        show_token()  # for other addresses the user says RAY_AUTH_MODE=token
    try:
        if address == "auto":
            address = found_ray()
        reached = reaching(address, network=ray.util.get_node_ip_address())
    except OSError as error:
        message = f"no Ray answers at fleet.address = {address!r} (is the fleet running? undertow run): {error}"
        if settings.address == "local":  # a fleet that ends takes its note away
            message = (
                f"fleet {settings.name!r} was killed: nothing of it runs any more. undertow run starts it again, and "
                "goes on from what it had made durable"
            )
        raise Refused(message) from error
    try:
        with reached, without_noise():
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError, RayError) as error:  # a ValueError of what is no address
        said = " ".join(str(error).split())[:200]
        message = (
            f"no Ray lets us in at {address!r} (fleet.address = {settings.address!r}): {said}. Is the fleet running "
            f"(undertow run)? Is {_TOKEN} that of the user who started it, and RAY_AUTH_MODE=token set, as for any "
            "fleet.address but local and auto?"
        )
        raise Refused(message) from error

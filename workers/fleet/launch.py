"""Start a fleet, or connect to a running one.

In: settings, a recipe. Out: a `Fleet`, the controller's client. Knows nothing of what the fleet does.
"""

import contextlib
import uuid
from collections.abc import Callable

import ray
from ray.actor import ActorHandle

from undertow.core.errors import Refused, Unavailable
from undertow.fleet.build import foreign, stamped
from undertow.fleet.controller_actor import controller_actor, controller_name
from undertow.fleet.differences import differences
from undertow.fleet.handle import ANSWER_S, ENDS, Fleet
from undertow.fleet.identity import naming, refuse_another_project
from undertow.fleet.lease import Lease, own_lease
from undertow.fleet.lease_places import Heartbeats, acquire_all, open_lease_places
from undertow.fleet.ray_replicas import orphans, remove_orphans
from undertow.ray_session.names import no_fleet
from undertow.ray_session.session import join_ray
from undertow.settings.sections import FleetSettings
from undertow.settings.settings import Settings
from undertow.wiring.root import StreamRecipe

START_S = 120.0
"""The controller's process may have to be started first, on a busy machine."""


def start(
    recipe: StreamRecipe,
    *,
    force: bool = False,
    stops: Callable[[], bool] = lambda: False,
    timeout_s: float = START_S,
) -> Fleet:
    """Start a fleet in the connected Ray cluster.

    Raises `Refused` where one of this name runs here already, or any fleet anywhere reads this topic under this group
    or writes its log; the latter not with `force`. Raises `Unavailable` where the controller does not answer within
    `timeout_s`, or before `stops` returns True; then it is killed, for nobody would watch what it starts to read later.
    """
    own = own_lease(recipe.fleet.name, uuid.uuid4().hex)
    with contextlib.ExitStack() as stack:
        places = open_lease_places(recipe)
        for place in places:
            stack.callback(place.lease.close)
        if not force:
            acquire_all(own, places)
        heartbeat, fleet = Heartbeats(own, places), None
        try:
            name = controller_name(recipe.fleet.name)
            if not _is_there(name):
                remove_orphans(recipe.fleet.name)
            fleet = Fleet(recipe.fleet.name, _start_controller(name, recipe, own))
            fleet.status(timeout_s, stops)  # from here on the controller writes the heartbeat
        except ValueError as error:
            message = f"a fleet named {recipe.fleet.name!r} runs already: drain it first, or set another fleet.name"
            raise Refused(message) from error
        except BaseException as error:  # KeyboardInterrupt as well
            if fleet is not None:
                fleet.remove()
                remove_orphans(recipe.fleet.name)
                fleet = None
            if isinstance(error, Unavailable):
                message = f"{error}. It was taken back, and nothing of the fleet is left: start it again"
                raise Unavailable(message) from error
            raise
        finally:
            heartbeat.stop(is_last=fleet is None)
    return fleet


def _start_controller(name: str, recipe: StreamRecipe, own: Lease) -> ActorHandle:
    handle: ActorHandle = controller_actor.options(name=name, lifetime="detached").remote(stamped(recipe), stamped(own))
    return handle


def _is_there(name: str) -> bool:
    try:
        ray.get_actor(name)
    except ValueError:
        return False
    return True


def attach(recipe: StreamRecipe, stops: Callable[[], bool] = lambda: False) -> Fleet | None:
    """Return the fleet of this name in the connected Ray cluster, None where there is none or it has ended.

    Waits for a draining fleet to end. Raises `Refused` where it was started with other settings, naming them, or by
    another build; `Unavailable` where its controller does not answer in time, or as soon as `stops` returns True.
    """
    try:
        fleet = Fleet(recipe.fleet.name, ray.get_actor(controller_name(recipe.fleet.name)))
    except ValueError:
        return None
    handshake = fleet.handshake(stops=stops)
    if handshake.state == "draining":
        handshake = fleet.end(recipe.fleet.drain_timeout_seconds + ANSWER_S)
    if handshake.state in ENDS:
        fleet.remove()
        return None
    if not handshake.is_ours:
        message = f"fleet {recipe.fleet.name!r} runs already: {foreign(handshake.build)}"
        raise Refused(message)
    if differ := differences(fleet.recipe(), recipe):
        message = (
            f"fleet {recipe.fleet.name!r} runs already, with other settings: {'; '.join(differ)}. Drain it first "
            "(undertow drain), use its settings to attach to it, or set another fleet.name and kafka.group"
        )
        raise Refused(message)
    return fleet


def find_fleet(settings: FleetSettings) -> Fleet:
    """Connect to the Ray cluster and the fleet in it. Raises `Refused` where there is no fleet of this name."""
    join_ray(settings)
    try:
        return Fleet(settings.name, ray.get_actor(controller_name(settings.name)))
    except ValueError as error:
        if left := orphans(settings.name):
            message = (
                f"fleet {settings.name!r} has lost its controller for good, and {len(left)} of its replicas are left, "
                "which nobody watches: undertow run ends them and goes on from what they have made durable"
            )
            raise Refused(message) from error
        raise no_fleet(settings.name) from error


def find_own_fleet(settings: Settings, *, command: str, is_named: bool) -> Fleet:
    """Connect to the project's fleet, to give it the order that `command` is.

    Raises `Refused` as `find_fleet` does, and where the fleet is another project's, unless its name was given with the
    command (`is_named`). Raises `Unavailable` where it does not say whose it is in time; then no order was given.
    """
    fleet = find_fleet(settings.fleet)
    if not is_named:
        try:
            refuse_another_project(fleet.name, fleet.handshake(), settings, command=command)
        except Unavailable as error:
            message = f"{error}. No order was given; to give it nevertheless: {naming(command, fleet.name)}"
            raise Unavailable(message) from error
    return fleet

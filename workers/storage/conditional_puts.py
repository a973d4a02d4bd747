"""Whether a store keeps the promise on which the log rests: of several that create one object, exactly one does.

In: a prefix. Out: how often it was tried, or `Refused`. Its objects are deleted again. Some servers look first and
create afterwards: on those two replicas would own one chain.
"""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

from undertow.core.errors import Refused, Unavailable
from undertow.storage.store_path import StorePath

RACES, CREATORS = 24, 4
"""A server that looks first lost two thirds of such races when they were tried; 24 take a second or less. A choice."""
START_S = 60.0
"""How long one creator waits for the others, of which one may have failed. A choice, above a request's."""
TURNS = 4
"""How often a race is run in which nobody is told that he created the object. A choice: each time replies were lost."""
FOLDER = "_race"


def require_conditional_puts(prefix: StorePath) -> int:
    """Race for objects below a prefix; return how many races there were. Raises `Refused`, `Unavailable`."""
    folder = prefix / FOLDER / uuid.uuid4().hex
    try:
        with ThreadPoolExecutor(CREATORS) as creators:
            for race in range(RACES):
                _require_one_winner(folder / str(race), creators)
    except threading.BrokenBarrierError as error:
        message = f"{prefix} answered too slowly to be tried; see the section store of the settings"
        raise Unavailable(message) from error
    except PermissionError as error:
        message = f"{prefix} cannot be written ({error.strerror}); see the section store of the settings"
        raise Refused(message) from error
    except OSError as error:
        message = f"{prefix} could not be written ({error.strerror}); see the section store of the settings"
        raise Unavailable(message) from error
    return RACES


def _require_one_winner(path: StorePath, creators: ThreadPoolExecutor) -> None:
    """Race until one is told that he won: a winner whose reply was lost tries again, and hears "is there already"."""
    for turn in range(TURNS):
        if _has_winner(path.parent / f"{path.name}-{turn}", creators):
            return
    message = f"{path.bucket} told none of {CREATORS} writers that it created an object, {TURNS} times: try again"
    raise Unavailable(message)


def _has_winner(path: StorePath, creators: ThreadPoolExecutor) -> bool:
    """Race once; return whether one was told that he won. Raises `Refused` where two would own the object.

    Those are two who were told so, or one who was told so and another whose bytes are there: `create_object` takes
    whoever finds his own bytes for the winner, too. Where nobody was told so, that one is the only owner.
    """
    start = threading.Barrier(CREATORS, timeout=START_S)

    def create(number: int) -> bool:
        start.wait()
        try:
            path.put_new(str(number).encode())
        except FileExistsError:
            return False
        return True

    told = {number for number, is_winner in enumerate(creators.map(create, range(CREATORS))) if is_winner}
    if not told:
        path.unlink(missing_ok=True)
        return False
    owners = told | {int(path.read_bytes())}
    path.unlink(missing_ok=True)
    if len(owners) > 1:
        message = (
            f"{path.bucket} lets several writers create one object: expected 1 of {CREATORS} to win, found "
            f"{len(owners)}; two replicas would own one chain there. Its server must keep the condition "
            "If-None-Match: *"
        )
        raise Refused(message)
    return True

"""Looks at a fleet for somebody else: a process of its own, since who is joined to a Ray may die with it.

In: orders on stdin, pickled. Out: answers on stdout, pickled; None where no fleet answers just now. Knows no chaos.
"""

import os
import pickle
import sys
from typing import Any

import ray
from ray.exceptions import RayError

from undertow.core.errors import Refused
from undertow.fleet.handle import Fleet
from undertow.fleet.launch import find_fleet
from undertow.settings.sections import FleetSettings


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Ray prints must not get among the answers
    settings: FleetSettings = pickle.load(sys.stdin.buffer)
    fleet: Fleet | None = None
    while True:
        try:
            order, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Any = None
        try:
            fleet = fleet or find_fleet(settings)
            answer = _do(fleet, order, *arguments)
        except Refused:
            if ray.is_initialized():  # joined to what is no more: the next eye joins anew
                return
        except RayError:
            return
        pickle.dump(answer, answers)
        answers.flush()


def _do(fleet: Fleet, order: str, *arguments: Any) -> Any:
    if order == "scale":
        return ray.get(fleet._controller.scale.remote(*arguments)) or order  # only the order: others wait
    return getattr(fleet, order)(*arguments) or order


if __name__ == "__main__":
    main()

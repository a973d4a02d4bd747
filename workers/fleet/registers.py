"""The places where a fleet writes its heartbeat: its group's committed offsets, and each log that it writes.

In: a recipe, a sign. Out: the leases on all of them, or `Refused`; heartbeats. Knows nothing of how a sign is judged.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from undertow.adapters.kafka_sign import KafkaSign
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_sign import FileSign
from undertow.core.errors import Refused
from undertow.fleet.claim import GROUP, Beat, Held, Sign, claim
from undertow.wiring.root import StreamRecipe


class Shows(Protocol):
    """Reads and writes a sign in one place."""

    def read(self) -> str:
        """Return the sign as last written."""

    def write(self, text: str) -> None:
        """Replace it."""

    def close(self) -> None:
        """Close. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One place, and the texts for the case that another fleet holds it."""

    sign: Shows
    held: Held


def open_registers(recipe: StreamRecipe) -> list[Register]:
    """Return all places in which a fleet of this recipe writes its sign. Connects to none yet."""
    registers = [Register(sign=KafkaSign(recipe.kafka), held=GROUP)]
    for artifact in recipe.artifacts:
        if artifact.log is not None:
            home = view_folder(artifact.log.root, artifact.manifest.view())
            held = Held(does=f"writes this topic's log in {home}", instead="another offline.path")
            registers.append(Register(sign=FileSign(home, recipe.kafka.topic), held=held))
    return registers


def claim_all(own: Sign, registers: Iterable[Register]) -> None:
    """Write our sign in all places, if no other fleet is alive in any. Raises `Refused`, with our signs deleted."""
    registers = list(registers)

    def claim_one(one: Register) -> Refused | None:
        try:
            claim(own, read=one.sign.read, write=one.sign.write, held=one.held)
        except Refused as error:
            return error
        return None

    with ThreadPoolExecutor(len(registers)) as pool:  # each may have to watch for seconds
        refusals = list(pool.map(claim_one, registers))
    if refused := next((one for one in refusals if one is not None), None):
        for register in registers:
            found = Sign.parse(register.sign.read())
            if found is not None and found.run == own.run:
                register.sign.write("")
        raise refused


class Beats:
    """Writes the heartbeat in all places, each by a thread of its own: one that is unavailable delays no other."""

    def __init__(self, own: Sign, registers: Iterable[Register]) -> None:
        """Start."""
        self._beats = [Beat(own, write=register.sign.write) for register in registers]

    def stop(self, *, is_last: bool) -> None:
        """Stop; with `is_last`, delete the sign."""
        for beat in self._beats:
            beat.stop(is_last=is_last)

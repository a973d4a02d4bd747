"""Where a fleet shows its sign: where the offsets of its group are committed, and in each log that it writes.

In: a recipe, a sign. Out: the claim to all of it, or `Refused`; beats. Knows nothing of how a sign is judged.
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
        """Return what was written last."""

    def write(self, text: str) -> None:
        """Replace it."""

    def close(self) -> None:
        """Let go. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One place, and what it means that another fleet shows its sign there."""

    sign: Shows
    held: Held


def open_registers(recipe: StreamRecipe) -> list[Register]:
    """Return all places in which a fleet of this recipe shows its sign. Nothing is touched yet."""
    registers = [Register(sign=KafkaSign(recipe.kafka), held=GROUP)]
    for artifact in recipe.artifacts:
        if artifact.log is not None:
            home = view_folder(artifact.log.root, artifact.manifest.view())
            held = Held(does=f"writes this topic's log in {home}", instead="another offline.path")
            registers.append(Register(sign=FileSign(home, recipe.kafka.topic), held=held))
    return registers


def claim_all(own: Sign, registers: Iterable[Register]) -> None:
    """Put up our sign in all places, where nobody else's moves in any. Raises `Refused`; then ours is gone again."""
    registers = list(registers)

    def claim_one(one: Register) -> Refused | None:
        try:
            claim(own, read=one.sign.read, write=one.sign.write, held=one.held)
        except Refused as error:
            return error
        return None

    with ThreadPoolExecutor(len(registers)) as pool:  # each may have to look for seconds
        refusals = list(pool.map(claim_one, registers))
    if refused := next((one for one in refusals if one is not None), None):
        for register in registers:
            found = Sign.parse(register.sign.read())
            if found is not None and found.run == own.run:
                register.sign.write("")
        raise refused


class Beats:
    """Shows a sign in all places, each by a thread of its own: one that does not answer keeps no other waiting."""

    def __init__(self, own: Sign, registers: Iterable[Register]) -> None:
        """Begin."""
        self._beats = [Beat(own, write=register.sign.write) for register in registers]

    def stop(self, *, is_last: bool) -> None:
        """Show it no more; with `is_last`, take it away."""
        for beat in self._beats:
            beat.stop(is_last=is_last)

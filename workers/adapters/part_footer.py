"""What the footer of a part says of it: which part of which chain it is, and what its records were besides rows.

In: the fields. Out: the keys and values of a Parquet footer, and back. Knows no file.
"""

from dataclasses import dataclass

from undertow.schemas.records import Partition
from undertow.stream.record_marks import Mark, RefusedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """The metadata of a part of a chain."""

    partition: Partition
    first: int
    next: int
    lost: int
    space: str
    cluster_id: str
    topic_id: str
    writer: str
    number: int | None = None
    """How many parts of the chain precede this one; None in parts of earlier versions."""
    mark: Mark | None = None
    """The last record before `next`; None in parts of earlier versions, and if no record was ever read."""
    shift: int = 0
    """How far the names of the following parts are ahead of their first offsets: a chain that was turned back repeats
    offsets, but never names."""
    refused: tuple[RefusedRecord, ...] = ()
    """See `ChainEnd.refused`."""

    def to_metadata(self) -> dict[str, str]:
        """Return the footer's keys and values."""
        return {
            **({} if self.number is None else {"number": str(self.number)}),
            "topic": self.partition.topic,
            "partition": str(self.partition.index),
            "first": str(self.first),
            "next": str(self.next),
            "lost": str(self.lost),
            "space": self.space,
            "cluster_id": self.cluster_id,
            "topic_id": self.topic_id,
            "writer": self.writer,
            "shift": str(self.shift),
            **({"refused": " ".join(map(str, self.refused))} if self.refused else {}),
            **({} if self.mark is None else self.mark.to_metadata()),
        }

    @classmethod
    def parse(cls, said: dict[str, str]) -> "Footer":
        """Read it from a footer. Raises `KeyError`, `ValueError` where it lacks or garbles something."""
        return cls(
            partition=Partition(said["topic"], int(said["partition"])),
            first=int(said["first"]),
            next=int(said["next"]),
            lost=int(said["lost"]),
            space=said["space"],
            cluster_id=said["cluster_id"],
            topic_id=said["topic_id"],
            writer=said["writer"],
            number=int(said["number"]) if "number" in said else None,
            mark=Mark.parse(said),
            shift=int(said.get("shift", 0)),
            refused=tuple(map(RefusedRecord.parse, said.get("refused", "").split())),
        )

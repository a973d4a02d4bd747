"""Hostile bytes for every decoder: valid records, bent by a seeded mutator. `make fuzz` runs a million of them.

For each: a window or a reject and never an exception, and what was decoded is bounded by the bytes it came from. Run as
a program it caps its own address space first, so that a decoder which asks for more than its share dies of it.
"""

import argparse
import random
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from undertow.schemas.arrow_ipc import GROWTH
from undertow.schemas.records import REASONS
from undertow.schemas.windows_arrow import window_schema

sys.path.insert(0, str(Path(__file__).parent.parent / "schemas"))  # tests are no package
from formats import CONTRACT, FORMATS, Format, documents, stream_of

LIMIT = 1 << 16
BATCH = 16
"""Records that are decoded together: a bad one must not harm its neighbours."""
FACTOR = 2 * GROWTH
"""A window's arrays may take so many times the bytes of its record, strings included."""
SPACE_BYTES = 4 << 30
LENGTHS = (0, 1, -1, 127, 128, 2**15, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63))
GAPPY = replace(CONTRACT, allows_gaps=True)


def seeds(form: Format) -> list[bytes]:
    """Valid records to begin with."""
    made = [form.write(document) for document in documents()]
    made += form.encode(form.read(made).windows)
    if form.name == "arrow":
        batch = pa.RecordBatch.from_pylist(documents(), schema=window_schema(CONTRACT))
        series = batch.column("series")
        packed = pa.StructArray.from_arrays(
            [series.field("wearer").dictionary_encode(), series.field("limb")], names=["wearer", "limb"]
        )
        made += [
            stream_of(batch.set_column(0, "series", packed)),
            stream_of(pa.RecordBatch.from_pylist(documents())),
            stream_of(batch, options=pa.ipc.IpcWriteOptions(compression="lz4")),
        ]
    return made


def bend(value: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Change a record in one to four places; more often than not in place, for what is moved is soon given up."""
    bent = bytearray(value)
    kinds = chance.choice((3, 3, 8))
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(bent) + 1)
        match chance.randrange(kinds):
            case 0 if bent:
                bent[place % len(bent)] ^= 1 << chance.randrange(8)
            case 1 if bent:
                bent[place % len(bent)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:  # a length, as Arrow writes it, where there may be one
                size = chance.choice((4, 8))
                place -= place % size
                number = chance.choice(LENGTHS) % (1 << 8 * size)
                bent[place : place + size] = number.to_bytes(size, "little")
            case 3:  # a length, as Avro writes it
                bent[place : place + 1] = varint(chance.choice(LENGTHS))
            case 4:
                del bent[place : place + chance.randint(1, 16)]
            case 5:
                bent[place:place] = bent[max(0, place - chance.randint(1, 64)) : place]
            case 6:
                other = chance.choice(others)
                cut = chance.randrange(len(other) + 1)
                bent[place:] = other[cut:]
            case _:
                bent[place:place] = struct.pack("<d", chance.choice((float("nan"), 1e39, -0.0, 1.0)))
    return bytes(bent[:LIMIT])


def varint(number: int) -> bytes:
    """Write an integer as Avro does."""
    zigzag = (number << 1 ^ number >> 63) % (1 << 64)
    out = bytearray()
    while zigzag >= 0x80:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*out, zigzag])


def inputs(form: Format, seed: int) -> Iterator[bytes]:
    """Yield bent records without end, the same for a seed."""
    chance = random.Random(f"{form.name} {seed}")
    begin = seeds(form)
    while True:
        yield bend(chance.choice(begin), chance, begin)


def hold_against_promises(form: Format, values: list[bytes]) -> Counter[str]:
    """Decode values together and assert what is promised of any bytes. Return what became of them."""
    decoded = form.read(values, GAPPY, LIMIT)
    windows = decoded.windows
    assert len(decoded.record_of) == len(windows)
    refused = {reject.record.offset for reject in decoded.rejects}
    assert refused | set(decoded.record_of.tolist()) == set(range(len(values)))
    assert len(refused) == len(decoded.rejects)
    assert all(reject.reason in REASONS and len(reject.detail) < 4096 for reject in decoded.rejects)
    columns = [*windows.series.values(), *windows.past.values(), *windows.future.values(), *windows.static.values()]
    texts = sum(len(text) for column in columns if column.dtype == object for text in column.flat if text is not None)
    held = sum(column.nbytes for column in columns) + texts
    assert held <= FACTOR * sum(map(len, values)), f"{held} bytes of windows from {sum(map(len, values))}"
    return Counter(reject.reason for reject in decoded.rejects) + Counter({"window": len(windows)})


def fuzz(form: Format, count: int, seed: int) -> Counter[str]:
    """Try so many inputs. Raises, with a note of where, when a promise is broken."""
    became: Counter[str] = Counter()
    made = inputs(form, seed)
    for first in range(0, count, BATCH):
        values = [next(made) for _ in range(BATCH)]
        try:
            became += hold_against_promises(form, values)
        except BaseException as error:
            error.add_note(f"{form.name}, seed {seed}, one of the inputs {first} to {first + BATCH - 1}")
            raise
    return became


def main() -> None:
    """Fuzz every format, and print what became of the inputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all formats together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (SPACE_BYTES, SPACE_BYTES))
    each = -(-options.inputs // len(FORMATS) // BATCH) * BATCH
    for form in FORMATS:
        fuzz(form, 20 * BATCH, options.seed + 1)  # what libraries set aside at first is not the inputs' doing
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.monotonic()
        became = fuzz(form, each, options.seed)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        took = time.monotonic() - began
        print(f"{form.name}: {each:,} inputs in {took:.0f} s, {grown:.0f} MiB more at most: {dict(became)}", flush=True)


if __name__ == "__main__":
    main()

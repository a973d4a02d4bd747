"""The reference of the wire formats: their schemas, and one window in each of them.

In: the schemas of `schemas/`, and its own encoders. Out: markdown. Knows no topic.
"""

import json
from functools import cache
from typing import Any

import pyarrow as pa
from repository_pages import ROOT
from tables import code, table

from undertow.schemas.arrow_codec import encode_arrow
from undertow.schemas.avro_codec import encode_avro
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import offline_schema
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import REASONS, Partition, Record
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import window_schema

CONTRACT = InputContract(
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="side", type="string")),
    past=(Column(name="ax"), Column(name="ay")),
    min_length=4,
    max_length=64,
)
SAMPLE = {
    "series": {"wearer": "s08", "side": "left"},
    "end": "2026-01-01T00:00:02.560000Z",
    "past": {"ax": [0.5, 0.25, -0.5, 0.75], "ay": [1.0, 1.5, 0.0, -0.25]},
}
SCHEMA_ID = 7
BYTES_A_LINE = 16


def json_schema() -> str:
    """Return the parts of a window as JSON Schema tells them."""
    schema = json.loads((ROOT / "schemas/window.v1.schema.json").read_text())
    rows = (
        (code(name), "yes" if name in schema["required"] else "no", part["description"])
        for name, part in schema["properties"].items()
    )
    return table(("Part", "Needed", "What it is"), rows)


def json_sample() -> str:
    """Return one window as JSON."""
    (value,) = encode_json(_windows())
    return _block("json", json.dumps(json.loads(value), indent=2))


def avro_schema() -> str:
    """Return the Avro schema."""
    return _block("json", (ROOT / "schemas/window.v1.avsc").read_text().strip())


def avro_sample() -> str:
    """Return one window as Avro."""
    (value,) = encode_avro(_windows())
    return _block("text", _hex(value))


def confluent_sample() -> str:
    """Return how one window begins in Confluent's wire format."""
    (value,) = encode_avro(_windows(), schema_id=SCHEMA_ID)
    return _block("text", _hex(value[:BYTES_A_LINE]) + "  ...")


def arrow_schema() -> str:
    """Return the Arrow schema of windows such as the sample."""
    return _block("text", str(window_schema(CONTRACT)))


def arrow_sample() -> str:
    """Return what one Arrow record of two windows holds, and how large it is."""
    value = encode_arrow(WindowBatch.concat([_windows(), _windows()]), CONTRACT)
    rows: list[dict[str, Any]] = pa.ipc.open_stream(value).read_all().to_pylist()
    shown = "\n".join(json.dumps(row, default=lambda at: at.isoformat()) for row in rows)
    return f"{_block('text', shown)}\n\nThat record has {len(value):,} bytes."


def log_schema() -> str:
    """Return the Arrow schema of the offline log for a feature `hidden`."""
    schema = offline_schema({one.name: one.type for one in CONTRACT.series}, ["hidden"])
    return _block("text", schema.to_string(show_schema_metadata=False))


def reasons() -> str:
    """Return every reason for which a record is refused."""
    return table(("Reason", "Why a record is refused"), ((code(name), text) for name, text in REASONS.items()))


@cache
def _windows() -> WindowBatch:
    """Return the sample as a replica reads it: what is shown here is taken."""
    record = Record(partition=Partition("windows", 0), offset=0, appended_us=0, value=json.dumps(SAMPLE).encode())
    decoded = decode_json([record], CONTRACT, max_record_bytes=1 << 20)
    if decoded.rejects:
        message = f"the sample window of the documentation is refused: {decoded.rejects[0].detail}"
        raise ValueError(message)
    return decoded.windows


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _hex(value: bytes) -> str:
    lines = (value[start : start + BYTES_A_LINE] for start in range(0, len(value), BYTES_A_LINE))
    return "\n".join(f"{line.hex(' '):<{3 * BYTES_A_LINE}} {_printable(line)}" for line in lines)


def _printable(line: bytes) -> str:
    return "".join(chr(byte) if byte in range(32, 127) else "." for byte in line)

"""The reference of the wire formats: their schemas, and one window in each of them.

In: the schemas of `schemas/`, and its own encoders. Out: markdown. Knows no topic.
"""

import json
import re
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
MANY = 256
"""Windows of the Arrow record, as `undertow produce --batch 256` makes them."""


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
    return _block("json", _by_parts(json.loads(value)))


def avro_schema() -> str:
    """Return the Avro schema without its texts, which JSON's has, too."""
    text = (ROOT / "schemas/window.v1.avsc").read_text().strip()
    return _block("json", re.sub(r'^ *"doc": .*\n', "", text, flags=re.MULTILINE))


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
    """Return the first row of an Arrow record of many windows, and how large the record is."""
    value = encode_arrow(WindowBatch.concat([_windows()] * MANY), CONTRACT)
    row = pa.ipc.open_stream(value).read_all().to_pylist()[0] | {"end": SAMPLE["end"]}
    return f"{_block('json', _by_parts(row))}\n\nA record of {MANY} such windows has {len(value):,} bytes."


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


def _by_parts(window: dict[str, Any]) -> str:
    """Return a window as JSON, a line for each part and, of those with several columns, for each column."""
    lines = []
    for part, inside in window.items():
        if isinstance(inside, dict):
            columns = ",\n".join(f"    {json.dumps(name)}: {json.dumps(column)}" for name, column in inside.items())
            lines.append(f"  {json.dumps(part)}: {{\n{columns}\n  }}")
        else:
            lines.append(f"  {json.dumps(part)}: {json.dumps(inside)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _hex(value: bytes) -> str:
    lines = (value[start : start + BYTES_A_LINE] for start in range(0, len(value), BYTES_A_LINE))
    return "\n".join(f"{line.hex(' '):<{3 * BYTES_A_LINE}} {_printable(line)}" for line in lines)


def _printable(line: bytes) -> str:
    return "".join(chr(byte) if byte in range(32, 127) else "." for byte in line)

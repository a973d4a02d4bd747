"""Series as a user names them: on the command line, and in a file of ids.

In: texts `id=value`, or JSON; a CSV or a Parquet file. Out: a table of ids with the types of the log. Knows no log.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from undertow.core.errors import Refused, WrongUsage
from undertow.core.readable import readable
from undertow.schemas.contract import IdColumn

SHOWN = 60
"""Letters of a text that a message repeats."""


def parse_series(texts: Sequence[str], columns: Sequence[IdColumn], *, file: Path | None = None) -> pa.Table:
    """Return each series once, the ids as columns. Raises `WrongUsage`, `Refused` for what the file has.

    Several ids of one series stand behind commas; what is ambiguous then is written as JSON. Values are taken as they
    are: nothing is trimmed, and no case is changed.
    """
    schema = pa.schema([pa.field(one.name, pa.string() if one.type == "string" else pa.int64()) for one in columns])
    rows = [_parse(text, columns) for text in texts]
    tables = [pa.Table.from_pylist(rows, schema=schema)]
    if file is not None:
        tables.append(_read(file, schema))
    named = pa.concat_tables(tables).combine_chunks()
    return named.group_by(schema.names).aggregate([]).select(schema.names).cast(schema)


def _parse(text: str, columns: Sequence[IdColumn]) -> dict[str, Any]:
    names = [column.name for column in columns]
    if text.lstrip().startswith("{"):
        try:
            pairs = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"--series: expected JSON such as {_example(columns, as_json=True)}, found {_shown(text)}"
            raise WrongUsage(message) from error
    else:
        begins = "|".join(map(re.escape, names))
        parts = [part.partition("=") for part in re.split(rf",(?=(?:{begins})=)", text)]
        pairs = {name: value for name, _, value in parts}
        if len(pairs) < len(parts):
            message = f"--series: expected each id once, found {_shown(text)}"
            raise WrongUsage(message)
    if not isinstance(pairs, dict) or {*pairs} != {*names}:
        lacks = [name for name in names if isinstance(pairs, dict) and name not in pairs]
        without = f", without {', '.join(lacks)}" if lacks else ""
        message = f"--series: expected {_example(columns)}, found {_shown(text)}{without}"
        raise WrongUsage(message)
    return {column.name: _typed(pairs[column.name], column) for column in columns}


def _typed(value: Any, column: IdColumn) -> str | int:
    if column.type == "string" and isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            pass
        else:
            return value
    if column.type == "integer" and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            number = int(value)
        except ValueError:
            pass
        else:
            if -(1 << 63) <= number < 1 << 63:
                return number
    kind = "a text of valid letters" if column.type == "string" else "an integer of 64 bits"
    message = f"--series: the id {column.name} is {kind}, found {_shown(str(value))}"
    raise WrongUsage(message)


def _example(columns: Sequence[IdColumn], *, as_json: bool = False) -> str:
    pairs = {column.name: "s08" if column.type == "string" else 8 for column in columns}
    return json.dumps(pairs) if as_json else ",".join(f"{name}={value}" for name, value in pairs.items())


def _shown(text: str) -> str:
    return readable(repr(text), SHOWN)


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        found = _read_csv(path, schema) if path.suffix.lower() == ".csv" else _read_parquet(path, schema)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        said = readable(str(error).strip().partition("\n")[0])
        message = f"--series-file: expected in {path} the columns {', '.join(schema.names)}, CSV or Parquet: {said}"
        raise Refused(message) from error
    if nulls := sum(found[name].null_count for name in schema.names):
        message = f"--series-file: expected an id in every row of {path}, found {nulls:,} without one"
        raise Refused(message)
    return found


def _read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    convert = pacsv.ConvertOptions(
        include_columns=schema.names,
        column_types={field.name: field.type for field in schema},
        strings_can_be_null=False,
    )
    return pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True), convert_options=convert)


def _read_parquet(path: Path, schema: pa.Schema) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if missing := [name for name in schema.names if file.schema_arrow.names.count(name) != 1]:
            message = f"not once there: {', '.join(missing)}; found {', '.join(file.schema_arrow.names)}"
            raise pa.ArrowInvalid(message)
        found = file.read(columns=schema.names).select(schema.names).replace_schema_metadata()
    columns = [_as_ids(found[field.name], field.type, field.name) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _as_ids(column: Any, kind: pa.DataType, name: str) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    given, is_text = column.type, pa.types.is_string(kind)
    # Floats, since pandas turns integers into floats if one is missing.
    of_text = pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)
    of_number = pa.types.is_integer(given) or pa.types.is_floating(given)
    if not (of_text if is_text else of_number):
        message = f"{name} has the type {given}, expected {'texts' if is_text else 'integers'}"
        raise pa.ArrowInvalid(message)
    if pa.types.is_floating(given):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, given), column)
    return column.cast(kind)

"""Names in DuckDB's SQL, and what it says of an error.

In: a column's name, an error. Out: texts. Imports no DuckDB.
"""


def quoted(name: str) -> str:
    """Return a name as SQL has it, whatever letters it holds."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """Return what an error says, without DuckDB's own hints below it."""
    return str(error).strip().split("\n", 1)[0]

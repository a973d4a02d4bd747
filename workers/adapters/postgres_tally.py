"""The tally of one view in Postgres, by which writers detect lost data: see `undertow.stream.store_tally`.

In: a cursor, or what gives one. Out: `Tally`s. It lies in the view's own table, so it is lost with the vectors and no
sooner, and a writer needs no right to make tables. Knows no vector.

Its rows have a key that no entity has, and no vector and no event time: neither Feast's reads and searches nor a
statement that deletes what is old find them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from psycopg import Cursor, sql

from undertow.stream.store_tally import Tally

KEY = b"undertow"
"""Feast's keys begin with the number of their ids, four bytes: this would be 1.7 billion of them."""
FORGET = "1 day"
"""The count of a writer expires after a day without a write; it is written again by the next one."""

T = TypeVar("T")
InTransaction = Callable[[Callable[[Cursor], T]], T]
"""Calls a function with a cursor, in a transaction of its own."""


class PostgresTally:
    """A `TalliedStore`. A row of the table holds the claim, one what was restored, and one the count of each writer."""

    def __init__(self, run: InTransaction[Any], table: str, writer: str) -> None:
        """Take what runs statements, and the view's table."""
        self._run, self._table, self._own = run, sql.Identifier(table), f"count:{writer}"

    def count(self, cursor: Cursor) -> Tally:
        """Count one write, in its transaction, and return the tally."""
        self._put(cursor, self._own, "1", "value_text = (held.value_text::bigint + 1)::text, created_ts = now()")
        return self._read(cursor)

    def expire(self, cursor: Cursor) -> None:
        """Delete the counts of writers that have ended."""
        cursor.execute(
            sql.SQL(
                "DELETE FROM {} WHERE entity_key = %s AND feature_name LIKE 'count:%%' "
                "AND created_ts < now() - %s::interval"
            ).format(self._table),
            (KEY, FORGET),
        )

    def read(self) -> Tally:
        """Return the present tally."""
        tally: Tally = self._run(self._read)
        return tally

    def claim(self, held: str, new: str) -> bool:
        """Compare-and-set: replace the claim `held` by `new`."""
        was_held: bool = self._run(partial(self._claim, held=held, new=new))
        return was_held

    def restored(self, claim: str) -> None:
        """Mark the claim as restored, unless more was lost since."""
        self._run(partial(self._restored, claim=claim))

    def _read(self, cursor: Cursor) -> Tally:
        cursor.execute(
            sql.SQL("SELECT feature_name, value_text FROM {} WHERE entity_key = %s AND feature_name = ANY(%s)").format(
                self._table
            ),
            (KEY, ["claim", "restored", self._own]),
        )
        found: dict[str, str] = dict(cursor.fetchall())
        return Tally(
            claim=found.get("claim", ""), restored=found.get("restored", ""), count=int(found.get(self._own, 0))
        )

    def _claim(self, cursor: Cursor, *, held: str, new: str) -> bool:
        if not held:
            return self._put(cursor, "claim", new, "")
        cursor.execute(
            sql.SQL(
                "UPDATE {} SET value_text = %s WHERE entity_key = %s AND feature_name = 'claim' AND value_text = %s"
            ).format(self._table),
            (new, KEY, held),
        )
        return cursor.rowcount > 0

    def _restored(self, cursor: Cursor, *, claim: str) -> None:
        cursor.execute(
            sql.SQL(
                "SELECT FROM {} WHERE entity_key = %s AND feature_name = 'claim' AND value_text = %s FOR UPDATE"
            ).format(self._table),
            (KEY, claim),
        )
        if cursor.rowcount:
            self._put(cursor, "restored", claim, "value_text = excluded.value_text")

    def _put(self, cursor: Cursor, name: str, text: str, change: str) -> bool:
        """Insert a row; where it is there already make this change. Return whether there is one now of our making."""
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} AS held (entity_key, feature_name, value_text, created_ts) VALUES (%s, %s, %s, now()) "
                "ON CONFLICT (entity_key, feature_name) DO {}"
            ).format(self._table, sql.SQL("UPDATE SET " + change if change else "NOTHING")),
            (KEY, name, text),
        )
        return cursor.rowcount > 0

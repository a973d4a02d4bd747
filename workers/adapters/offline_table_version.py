"""A version of the table of a view's history, as readers see it, on a disk or in a store.

In: the table's place. Out: its files, and up to which position it has each chain. Changes nothing.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from undertow.adapters.offline_history import delta_folder
from undertow.core.errors import Refused, Unavailable
from undertow.storage.fault_words import refuses_writing
from undertow.storage.store_path import AnyPath, StorePath

PASSING = ("File not found", "object store")
"""What Delta Lake says, by no class of error, where a commit of its log that was there a moment ago is not (its bucket
or disk is away, or another has cleaned the log), or the store does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVersion:
    """One version of a table, as readers see it."""

    root: AnyPath
    table: Any
    files: list[AnyPath]

    def folded(self, chain: str) -> int:
        """Return the position up to which it has the rows of a chain. Raises `Refused`, `Unavailable`."""
        return chain_position(self.table, self.root, chain)


def read_version(root: AnyPath) -> TableVersion:
    """Return the newest version of a table. Raises `Refused` if there is none that we can read, `Unavailable`."""
    with translated_delta(root):
        table = open_table(root)
        if table.deletion_vectors().read_all().num_rows:
            message = (
                f"the table in {root} has deletion vectors, written by another program, which its files do not show; "
                "rewrite them with that program (REORG TABLE ... APPLY (PURGE))"
            )
            raise Refused(message)
        return TableVersion(root=root, table=table, files=_files_of(table, root))


def chain_position(table: Any, root: AnyPath, chain: str) -> int:
    """Return up to which position a version has a chain; 0 if nothing of it. Raises `Refused`, `Unavailable`.

    Delta Lake keeps files in memory, but reads its log anew for this.
    """
    with translated_delta(root):
        return int(table.transaction_version(chain) or 0)


def open_table(root: AnyPath) -> Any:
    """Return Delta Lake's newest version of a table. Raises what it raises."""
    return DeltaTable(str(root), storage_options=storage_options(root))


def storage_options(root: AnyPath) -> dict[str, str] | None:
    """Return how Delta Lake reaches the store of a table; None for a folder."""
    if isinstance(root, Path):
        return None
    options = root.options
    return options.config(root.scheme) | ({"allow_http": "true"} if options.allows_http else {})


def _files_of(table: Any, root: AnyPath) -> list[AnyPath]:
    uris = table.file_uris()
    if isinstance(root, StorePath):
        return [StorePath.parse(unquote(uri), root.options) for uri in uris]
    return [Path(unquote(urlparse(uri).path) if uri.startswith("file:") else uri) for uri in uris]


@contextlib.contextmanager
def translated_delta(root: AnyPath) -> Iterator[None]:
    """Translate errors of Delta Lake: `Unavailable` for what may pass, `Refused` for others."""
    try:
        yield
    except (DeltaError, OSError) as error:
        said = str(error).strip().partition("\n")[0]  # after that Delta Lake's own stack
        refused = refuses_writing(root, error)
        if refused or isinstance(error, (CommitFailedError, OSError)) or any(one in said for one in PASSING):
            message = (
                f"the table in {root} {refused or f'could not be read or written ({said})'}; it will be tried again"
            )
            raise Unavailable(message) from error
        message = f"the table in {root} cannot be used ({said}); restore it and {delta_folder(root.parent)} from a copy"
        raise Refused(message) from error

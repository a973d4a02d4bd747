"""The chains of a view, as their maintainer sees them. Keeps the port `Chains`.

In: a view's folder. Out: what can be folded, rows of parts, notes; deleted parts. Knows no table.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from undertow.adapters.offline_chains import chain_folders, find_holes
from undertow.adapters.offline_files import sync_names
from undertow.adapters.offline_folded import FoldMark, add_mark, all_marks, chain_id, drop_marks, make_chain_id
from undertow.adapters.offline_footers import keep_footers
from undertow.adapters.offline_names import PART_NAME, part_name, part_names, position_of
from undertow.adapters.offline_parts import part_schema, read_part, translated
from undertow.core.errors import Unavailable, UndertowError
from undertow.core.publication import held
from undertow.schemas.spaces import SpaceView
from undertow.storage.at_once import at_once
from undertow.storage.store_path import AnyPath, StorePath, below
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.history_ports import FoldChain, FoldedUpTo, PartPlace

DELETED_AT_ONCE = 500
"""Parts that a store is asked to delete together. S3 takes up to 1,000 in a request."""


class FileChains:
    """The chains in a view's folder, which must have been claimed."""

    def __init__(self, home: AnyPath, view: SpaceView) -> None:
        """Touch nothing yet."""
        self._home, self._columns = home, part_schema(view).names

    def look(self) -> tuple[list[FoldChain], list[str]]:
        """See the port."""
        found = at_once(self._try_look, chain_folders(self._home))
        chains = [one for one in found if isinstance(one, FoldChain) and one.parts]  # else moved while it was listed
        return chains, [one for one in found if isinstance(one, str)]

    def _try_look(self, folder: AnyPath) -> FoldChain | str | None:
        """Return a chain, or why it cannot be folded now, or None if it has no parts."""
        try:
            with translated(folder):
                names, holes = find_holes(folder)
                if holes:
                    return f"{below(folder, self._home)} lacks {'; '.join(map(str, holes))}"
                return self._look(folder) if names else None
        except UndertowError as error:
            return str(error)

    def _look(self, folder: AnyPath) -> FoldChain:
        known = make_chain_id(folder)
        return FoldChain(
            id=known,
            name=below(folder, self._home),
            notes=tuple(
                FoldedUpTo(position=mark.position, parts=mark.parts, at_s=mark.at_s) for mark in all_marks(folder)
            ),
            parts=tuple(_places(folder)),
        )

    def read(self, chain: FoldChain, positions: Sequence[int]) -> list[Any]:
        """See the port."""
        paths = [self._home / chain.name / part_name(position) for position in positions]
        rows = at_once(lambda path: read_part(path, self._columns), paths)
        # After it: where another chain was begun, the first does not come back.
        require_same(self._home / chain.name, chain)
        return rows

    def keep(self, chain: FoldChain, before: int) -> None:
        """See the port."""
        folder = self._home / chain.name
        require_same(folder, chain)
        with translated(folder):
            keep_footers(folder, before)

    def note(self, chain: FoldChain, upto: FoldedUpTo) -> None:
        """See the port."""
        folder = self._home / chain.name
        require_same(folder, chain)
        add_mark(folder, FoldMark(position=upto.position, parts=upto.parts, at_s=upto.at_s))
        hit_failpoint("after_fold_note")

    def delete(self, chain: FoldChain, before: FoldedUpTo) -> int:
        """Delete in order, so that what is left is an unbroken end of the chain wherever this stops.

        In a store many at once: nobody misses parts before a note.
        """
        folder = self._home / chain.name
        with translated(folder):
            names = [name for name in part_names(folder) if position_of(name) < before.position]
            delete_parts(folder, names, lambda: require_same(folder, chain))
            drop_marks(folder, before=before.position)
        return len(names)


def require_same(folder: AnyPath, chain: FoldChain) -> None:
    """Raise `Unavailable` where a chain was moved away, as one is whose topic was made anew."""
    with translated(folder):
        if chain_id(folder) != chain.id:
            message = f"the chain in {folder} was moved while it was folded; it will be tried again"
            raise Unavailable(message)


def delete_parts(folder: AnyPath, names: Sequence[str], require: Callable[[], None]) -> None:
    """Delete parts of a chain by their names, durable on return. Raises `Unavailable`, `OSError`.

    `require` raises where the folder is another chain's. On a disk it is held open: where it is moved meanwhile,
    nothing is deleted in the one that takes its place.
    """
    with _remover(folder) as remove:
        require()
        for some in _split(names, at_once=isinstance(folder, StorePath)):
            remove(some)
            hit_failpoint("after_fold_delete")
        require()
        sync_names(folder)


@contextlib.contextmanager
def _remover(folder: AnyPath) -> Iterator[Callable[[Sequence[str]], None]]:
    """Give a function that deletes in this very folder. In a store nothing can be moved: it has only names."""
    if isinstance(folder, StorePath):
        yield folder.unlink_below
        return
    with held(folder) as descriptor:

        def remove(names: Sequence[str]) -> None:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=descriptor)

        yield remove


def _split(names: Sequence[str], *, at_once: bool) -> Iterator[Sequence[str]]:
    count = DELETED_AT_ONCE if at_once else 1
    yield from (names[first : first + count] for first in range(0, len(names), count))


def _places(folder: AnyPath) -> Iterator[PartPlace]:
    """Yield the parts of a chain with their sizes, which a store's listing says without a request for each."""
    if isinstance(folder, StorePath):
        sizes = folder.sizes()
        for name in sorted(filter(PART_NAME, sizes)):
            yield PartPlace(position=position_of(name), size=sizes[name])
        return
    for name in part_names(folder):
        try:
            yield PartPlace(position=position_of(name), size=(folder / name).stat().st_size)
        except FileNotFoundError:  # another maintainer has just deleted it
            continue

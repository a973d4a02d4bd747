"""Find series by number in constant time, without an object for each.

In: ids, and the partition in which they were seen. Out: keys of 128 bits, and the place of each among those that are
held. Two series share a key with a probability of 1 in 10^26 among a million. Knows nothing of what is held.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.arrow_columns import Rows
from undertow.schemas.windows import Values

Keys = NDArray[np.uint64]
"""(m, 2), each row a key."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
"""From a series' key in one partition to the next: odd, so no two are equal; large, so they lie apart in the table."""
_FULL = 0.5
"""How much of the table may be taken: then a key is found at its first or second place, mostly. A choice."""


def keys_of(ids: Mapping[str, Values], partitions: Sequence[int]) -> Keys:
    """Return the keys of m series, of their ids and the partition of each."""
    return keys_in(digests_of(ids), np.array(partitions, np.int64))


def keys_in(digests: Keys, partitions: Rows) -> Keys:
    """Return the keys of m series in these partitions: of one digest, as many keys as there are partitions."""
    keys = digests.copy()
    keys[:, 0] += partitions.astype(np.uint64) * _STEP
    return keys


def digests_of(ids: Mapping[str, Values]) -> Keys:
    """Return the digests of the ids of m series."""
    columns = [column.tolist() for column in ids.values()]
    # Lengths keep ("a", "bc") and ("ab", "c") apart; a type is a column's, so 1 and "1" never meet.
    texts = (
        columns[0]
        if len(columns) == 1
        else ["\0".join([f"{len(one)}:{one}" for one in map(str, key)]) for key in zip(*columns, strict=True)]
    )
    digests = [blake2b(str(text).encode(), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


class KeyTable:
    """The places of keys: the first that was added has 0."""

    def __init__(self, keys: Keys | None = None) -> None:
        """Begin with these keys, in order."""
        self._keys = np.zeros((0, 2), np.uint64) if keys is None else keys
        self._count = 0
        self._table = np.full(64, -1, np.int64)
        count = len(self._keys)
        self._keys, given = np.zeros((max(16, count), 2), np.uint64), self._keys
        self.add(given)

    def __len__(self) -> int:
        return self._count

    @property
    def keys(self) -> Keys:
        """All keys, by place."""
        return self._keys[: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._keys.nbytes + self._table.nbytes

    def find(self, keys: Keys) -> Rows:
        """Return (m,) the place of each key, -1 where it is not there."""
        found = np.full(len(keys), -1, np.int64)
        left, at = np.arange(len(keys)), self._first(keys)
        while len(left):
            place = self._table[at]
            there = place >= 0
            same = there & (self._keys[place] == keys[left]).all(axis=1)
            found[left[same]] = place[same]
            on = there & ~same
            left, at = left[on], (at[on] + 1) & (len(self._table) - 1)
        return found

    def add(self, keys: Keys) -> Rows:
        """Add keys that are not there, and differ; return (m,) their places."""
        places = np.arange(self._count, self._count + len(keys))
        while self._count + len(keys) > len(self._keys):
            self._keys = np.concatenate([self._keys, np.zeros_like(self._keys)])
        self._keys[places] = keys
        self._count += len(keys)
        if self._count > _FULL * len(self._table):
            while self._count > _FULL * len(self._table) / 2:
                self._table = np.full(2 * len(self._table), -1, np.int64)
            places_to_put = np.arange(self._count)
        else:
            places_to_put = places
        self._put(places_to_put)
        return places

    def _put(self, places: Rows) -> None:
        """Enter keys into the table: of those that want one place, the last written has it, the others try the next."""
        at = self._first(self._keys[places])
        while len(places):
            free = self._table[at] < 0
            self._table[at[free]] = places[free]
            left = self._table[at] != places
            places, at = places[left], (at[left] + 1) & (len(self._table) - 1)

    def _first(self, keys: Keys) -> Rows:
        return (keys[:, 0] & np.uint64(len(self._table) - 1)).astype(np.int64)

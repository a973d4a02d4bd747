"""Paths in an object store, with what of `pathlib.Path` the log uses; `AnyPath` is one of either kind.

In: a URI, options. Out: objects and what lies below a prefix. Knows nothing of their content.

A store has no folders: one is there as long as any object lies below it, and need not be made. Errors are those that a
disk raises, with an errno, so that callers need not ask which kind of path they hold. There is no `__fspath__`: giving
such a path to whoever opens files is an error at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from functools import total_ordering
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from undertow.core.publication import Content
from undertow.storage.store_client import SCHEMES, StoreOptions, as_os_errors, open_client


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """What a store says of an object, under the names of `os.stat_result`."""

    st_size: int
    st_mtime: float
    """When it was written, in seconds since the epoch, by the store's clock."""
    tag: str = ""
    """The store's name of the content (ETag), which changes with it."""


@total_ordering
@dataclass(frozen=True, slots=True)
class StorePath:
    """An object, or a prefix of objects."""

    bucket: str
    """Such as `s3://name`; of Azure `az://account/container`."""
    key: str = ""
    """Names with slashes between them; empty is the bucket itself."""
    options: StoreOptions = field(default=StoreOptions(), repr=False, compare=False)

    @classmethod
    def parse(cls, uri: str, options: StoreOptions = StoreOptions()) -> "StorePath":  # noqa: B008 frozen
        """Return the path of a URI. Raises `ValueError`, whose text does not repeat what may be a login."""
        scheme, _, rest = uri.partition("://")
        names = [name for name in rest.split("/") if name]
        if scheme not in SCHEMES or len(names) < SCHEMES[scheme]:
            expected = "s3://bucket/folder, gs://bucket/folder or az://account/container/folder"
            found = f"{scheme}://..." if "://" in uri else "no scheme"
            message = f"expected an address such as {expected}, found {found}"
            raise ValueError(message)
        if "@" in names[0] or "?" in rest or "#" in rest or {".", ".."} & {*names}:
            message = f"expected {scheme}:// with names and slashes alone after it: a login belongs into the settings"
            raise ValueError(message)
        deep = SCHEMES[scheme]
        return cls(f"{scheme}://{'/'.join(names[:deep])}", "/".join(names[deep:]), options)

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other)

    def __truediv__(self, name: str) -> "StorePath":
        added = "/".join(part for part in name.split("/") if part not in ("", "."))
        return StorePath(self.bucket, f"{self.key}/{added}" if self.key and added else self.key or added, self.options)

    @property
    def scheme(self) -> str:
        """`s3`, `gs` or `az`."""
        return self.bucket.partition(":")[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket, and the names of the key."""
        return (self.bucket, *PurePosixPath(self.key).parts)

    @property
    def name(self) -> str:
        """The last name."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The last name without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The end of the last name, from its last dot on."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "StorePath":
        """The prefix that it lies below."""
        return StorePath(self.bucket, self.key.rpartition("/")[0], self.options)

    def absolute(self) -> "StorePath":
        """Return itself: a URI depends on no working folder."""
        return self

    def exists(self) -> bool:
        """Whether it is an object, or any lies below it. Raises `OSError`."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether it is an object. Raises `OSError`."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether any object lies below it. Raises `OSError`."""
        return next(self._pages(chunk_size=1), None) is not None

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False

    def stat(self) -> ObjectStatus:
        """Ask for its size and time. Raises `OSError`."""
        with as_os_errors(str(self)):
            return _status(self.client.head(self.key))

    def iterdir(self) -> Iterator["StorePath"]:
        """Yield what lies directly below. Raises `FileNotFoundError` if nothing does, `OSError`."""
        with as_os_errors(str(self)):
            found = self.client.list_with_delimiter(self.key or None)
        keys = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        if not keys:
            raise FileNotFoundError(2, "nothing lies below", str(self))
        yield from (StorePath(self.bucket, key, self.options) for key in keys)

    def sizes(self) -> dict[str, int]:
        """Return the size of each object directly below, by its name, as one listing says. Raises `OSError`."""
        with as_os_errors(str(self)):
            found = self.client.list_with_delimiter(self.key or None)["objects"]
        return {PurePosixPath(one["path"]).name: int(one["size"]) for one in found}

    def glob(self, pattern: str) -> Iterator["StorePath"]:
        """Yield what matches below, a name of the pattern a level. `**` is not understood. Raises `OSError`."""
        first, _, rest = pattern.partition("/")
        try:
            found = [*self.iterdir()]
        except FileNotFoundError:
            return
        for path in found:
            if fnmatchcase(path.name, first):
                yield from path.glob(rest) if rest else (path,)

    def walk_objects(self) -> Iterator["StorePath"]:
        """Yield all objects below, at any depth. Raises `OSError`."""
        for page in self._pages():
            yield from (StorePath(self.bucket, one["path"], self.options) for one in page)

    def walk_status(self) -> Iterator[tuple["StorePath", ObjectStatus]]:
        """Yield all objects below with what the listing says of them, without a request for each. Raises `OSError`."""
        for page in self._pages():
            yield from ((StorePath(self.bucket, one["path"], self.options), _status(one)) for one in page)

    def read_bytes(self) -> bytes:
        """Return its content. Raises `OSError`."""
        with as_os_errors(str(self)):
            return bytes(self.client.get(self.key).bytes())

    def read_pieces(self) -> Iterator[bytes]:
        """Yield its content in pieces of some megabytes. Raises `OSError`."""
        with as_os_errors(str(self)):
            yield from map(bytes, self.client.get(self.key).stream())

    def stamp(self) -> str:
        """Return what tells what it holds now from what it held before. Raises `OSError`."""
        with as_os_errors(str(self)):
            return _stamp(self.client.head(self.key))

    def read_stamped(self) -> tuple[str, Iterator[bytes]]:
        """Return the stamp of what is read, and its content in pieces, which raise `OSError`, too."""
        with as_os_errors(str(self)):
            found = self.client.get(self.key)

        def pieces() -> Iterator[bytes]:
            with as_os_errors(str(self)):
                yield from map(bytes, found.stream())

        return _stamp(found.meta), pieces()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return its content as text. Raises `OSError`."""
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode: str, size: int | None = None) -> BinaryIO:
        """Open it for reading; `mode` is `rb`. Its size is asked for, unless a listing told it. Raises `OSError`."""
        from undertow.storage.object_reader import ObjectReader  # noqa: PLC0415 it needs the path

        if mode != "rb":
            message = f"an object is read whole or in ranges (rb), found the mode {mode!r}"
            raise ValueError(message)
        return ObjectReader(self, size)  # type: ignore[return-value] # as much of a file as readers of Parquet use

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete it. A store does not tell whether it was there. Raises `OSError`."""
        if not missing_ok:
            self.stat()
        with as_os_errors(str(self)):
            self.client.delete(self.key)

    def unlink_below(self, names: Sequence[str]) -> None:
        """Delete objects directly below, in few requests; those that are gone are none less. Raises `OSError`."""
        with as_os_errors(str(self)):
            self.client.delete([(self / name).key for name in names])

    def write_bytes(self, content: bytes) -> None:
        """Replace its content, at once. Raises `OSError`."""
        with as_os_errors(str(self)):
            self.client.put(self.key, content, use_multipart=False)

    def put_new(self, content: Content) -> None:
        """Create it. Raises `FileExistsError` where the store says that it is there, `OSError` where it is unknown."""
        with as_os_errors(str(self)):
            self.client.put(self.key, content, mode="create", use_multipart=False)

    def version(self) -> str:
        """Return what changes with its content. Raises `OSError`."""
        with as_os_errors(str(self)):
            return str(self.client.head(self.key)["e_tag"])

    def replace_version(self, content: Content, version: str) -> bool:
        """Replace its content if it is still of this version; else, or if it is gone, return False. Raises `OSError`.

        False also where it was replaced and the reply was lost.
        """
        from obstore.exceptions import PreconditionError  # noqa: PLC0415 only who uses a store has it installed

        with as_os_errors(str(self)):
            try:
                self.client.put(self.key, content, mode={"e_tag": version}, use_multipart=False)
            except PreconditionError:
                return False
        return True

    @property
    def client(self) -> Any:
        """Obstore's client of the bucket."""
        return open_client(self.bucket, self.options)

    def _pages(self, chunk_size: int = 1000) -> Iterator[list[dict[str, Any]]]:
        with as_os_errors(str(self)):
            yield from self.client.list(self.key or None, chunk_size=chunk_size)


AnyPath = Path | StorePath


def parse_any(text: str) -> AnyPath:
    """Return the path of a text: of an object store where it has a scheme. Raises `ValueError`."""
    return StorePath.parse(text) if "://" in text else Path(text)


def as_path(given: AnyPath | str) -> AnyPath:
    """Return the path, parsed if it is a text. Raises `ValueError`."""
    return parse_any(given) if isinstance(given, str) else given


def containing(path: AnyPath, name: str) -> AnyPath:
    """Return the path's beginning, up to and with the first folder of a name. Raises `ValueError` if none is."""
    left = len(path.parts) - 1 - path.parts.index(name)
    for _ in range(left):
        path = path.parent
    return path


def below(path: AnyPath, home: AnyPath) -> str:
    """Return what follows `home` in a path below it, with slashes. Raises `ValueError` if it is not."""
    if isinstance(path, Path) and isinstance(home, Path):
        return path.relative_to(home).as_posix()
    if isinstance(path, StorePath) and isinstance(home, StorePath) and path.bucket == home.bucket:
        return PurePosixPath(path.key).relative_to(home.key).as_posix()
    message = f"{path} does not lie below {home}"
    raise ValueError(message)


def _stamp(found: Any) -> str:
    return f"{found['e_tag']} {found['version']} {found['size']} {found['last_modified'].isoformat()}"


def _status(found: Any) -> ObjectStatus:
    at: datetime = found["last_modified"]
    return ObjectStatus(st_size=int(found["size"]), st_mtime=at.timestamp(), tag=str(found["e_tag"] or "").strip('"'))

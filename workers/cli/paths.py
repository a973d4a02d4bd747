"""Click types for options and arguments that are paths.

In: text. Out: a path; an address (`s3://...`) where none can be, or a pipe, is wrong usage. Knows no command.
"""

import os
from pathlib import Path
from typing import Any

import click

from undertow.core.readable import readable
from undertow.settings.local_paths import parse_place, require_local
from undertow.storage.store_client import SCHEMES


class LocalPathType(click.Path):
    """A `click.Path` that refuses addresses, which would otherwise become folders of that name."""

    def __init__(self, **options: Any) -> None:
        """Take the options of `click.Path`."""
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        try:
            return super().convert(require_local(value), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PlaceType(LocalPathType):
    """A path, or an address in an object store, without the options by which that is reached."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if isinstance(value, str) and value.partition("://")[0] in SCHEMES:
            try:
                return parse_place(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class ExistingPathType(click.Path):
    """A `click.Path` to an existing file or folder. Refuses pipes, since reading one may block for ever."""

    def __init__(self, **options: Any) -> None:
        """Take the options of `click.Path`."""
        super().__init__(path_type=Path, exists=True, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not (path.is_file() or path.is_dir()):
            self.fail(
                f"expected a file or a folder, found a pipe, a socket or a device: {readable(str(path))}", param, ctx
            )
        return path


class HistoryType(ExistingPathType):
    """An existing file or folder, or an address in an object store, which is only seen when it is read."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if isinstance(value, str) and value.partition("://")[0] in SCHEMES:
            return PlaceType().convert(value, param, ctx)
        return super().convert(value, param, ctx)

"""Click types for options and arguments that are paths.

In: text. Out: a local path; an address (`s3://...`) or a pipe is wrong usage. Knows no command.
"""

import os
from pathlib import Path
from typing import Any

import click

from undertow.core.readable import readable
from undertow.settings.local_paths import require_local


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

"""The type of options and arguments that name a path to write to.

In: what was typed. Out: a path on this machine; an address (`s3://...`) is wrong usage. Knows no command.
"""

from pathlib import Path
from typing import Any

import click

from workers.local_paths import require_local


class LocalPathType(click.Path):
    """A `click.Path` that takes no address, of which a folder would be made."""

    def __init__(self, **options: Any) -> None:
        """Take the options of `click.Path`."""
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        try:
            return super().convert(require_local(value), param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)

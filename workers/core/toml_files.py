"""Read a TOML file. All that are read here are read so: settings, and descriptions of modules.

In: a path. Out: its content as plain data, or `Refused` with what is wrong. Knows no key.
"""

import codecs
import tomllib
from pathlib import Path
from typing import Any

from undertow.core.errors import Refused


def read_toml(path: Path) -> dict[str, Any]:
    """Read the file, as UTF-8 whatever the locale says. Raises `Refused`.

    TOML knows no byte order mark, but editors of Windows write one: that of UTF-8 is passed over.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise Refused(message) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        message = f"{path} begins with the byte order mark of UTF-16: save it as UTF-8, which TOML is written in"
        raise Refused(message)
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    # A ValueError is tomllib's own, a text that is not UTF-8, or a number with more digits than Python reads.
    except (ValueError, RecursionError) as error:
        message = f"{path} is not valid TOML: {error}"
        raise Refused(message) from error

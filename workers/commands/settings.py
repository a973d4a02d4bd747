"""`undertow settings`: show the reference of all settings.

In: a key, a section's name, or nothing. Out: text for a terminal, or JSON. Knows no value that is in force.
"""

import json

from rich.console import Console
from rich.text import Text

from undertow.settings.reference import Setting, all_settings, find_settings


def show(key: str | None, console: Console, *, as_json: bool) -> None:
    """Print the reference of a key, a section or all settings. Raises `WrongUsage` for an unknown key."""
    found = all_settings() if key is None else find_settings(key)
    if as_json:
        data = {one.key: {"kind": one.kind, "default": _plain(one), "text": one.text} for one in found}
        console.print(json.dumps(data, indent=2), soft_wrap=True, highlight=False)
        return
    for number, one in enumerate(found):
        if number:
            console.print()
        default = "not set" if one.default is None else one.line.partition(" = ")[2]
        console.print(Text.assemble((one.key, "bold"), f"  {one.kind}; default: {default}"), soft_wrap=True)
        console.print(Text(f"    {one.variable}", style="dim"), soft_wrap=True)
        console.print(Text(one.text))


def _plain(one: Setting) -> object:
    return one.default if isinstance(one.default, str | int | float | list | dict | None) else str(one.default)

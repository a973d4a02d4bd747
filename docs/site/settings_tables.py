"""The reference of all settings, as tables.

In: what `undertow.settings.reference` reads off the sections. Out: markdown. Knows no value that is in force.
"""

import inspect
from itertools import groupby

from tables import code, table

from undertow.settings.reference import Setting, all_settings
from undertow.settings.settings import PREFIX, SEPARATOR, Settings

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def settings_tables() -> str:
    """Return a heading, what the section is about, and a table, for each section."""
    parts = []
    for section, settings in groupby(all_settings(), key=_section):
        about = (
            inspect.cleandoc(Settings.model_fields[section].annotation.__doc__ or "") if section else "In no section."
        )
        heading = f"## {code(section)} {{ #{section} }}" if section else "## Logs"
        parts += [heading, about, table(("Setting", "Default", "What it does"), map(_row, settings))]
    return "\n\n".join(parts)


def count_of_settings() -> str:
    """Return how many there are, and the rule of their variables."""
    return (
        f"There are {len(all_settings())} settings. The key `topic` of the section `kafka` is `kafka.topic` on a "
        f"command line and {code(f'{PREFIX}KAFKA{SEPARATOR}TOPIC')} in the environment."
    )


def _section(setting: Setting) -> str:
    first, _, rest = setting.key.partition(".")
    return first if rest else ""


def _row(setting: Setting) -> tuple[str, str, str]:
    name = f"{code(setting.key)}{{ #{setting.key} }}"
    return f"{name}\n{code(setting.variable)}{{ .variable }}", f"{_default(setting)}\n*{setting.kind}*", setting.text


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "not set"
    shown = code(setting.line.partition(" = ")[2])
    if setting.key.endswith("_bytes"):
        size, unit = next((size, unit) for size, unit in UNITS if setting.default >= size)
        shown += f" ({setting.default / size:g} {unit})"
    return shown

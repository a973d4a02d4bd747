"""`undertow taps`: show what can be tapped in a model, as a table.

In: a `Survey`. Out: text on a console. Knows nothing of models.
"""

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from undertow.artifact.format.sight import Sight
from undertow.artifact.pack.survey.points import Layer, Point, Survey
from undertow.core.features import AUTO, Tap
from undertow.core.tap_texts import as_text

LEGEND = (
    "n windows, t steps of the window, D decoder steps · cost: share of the whole forward's time until there, on this "
    "machine · past: how many of the model's steps change the vector (of last, where there are steps), and whether the "
    "newest one does · masked: steps of padding are left out of the pooling"
)
NOTHING = "nothing is suggested: no layer has seen the newest step of a window in all of its channels"
MOST_ROWS = 40
LISTED = 4
"""How many inputs are listed; the rest are counted. A choice."""
FREE, UNLIMITED = 24, 10_000
"""The least width of the remarks, and a width larger than any table."""
_OF_A_SHELL = re.compile(r"[^\w.#\[\]:+=,@%/-]")
HEADS = (("tap", "left"), ("layer", "left"), ("shape", "left"), ("cost", "right"), ("sees past", "left"), ("", "left"))


def show(survey: Survey, console: Console, *, as_json: bool, is_whole: bool = False) -> None:
    """Print the survey: as many levels of nested layers as fit a screen or two, or all with `is_whole`."""
    if as_json:
        console.print_json(data=survey.to_json())
        return
    chosen = survey.suggestion
    rows = [(layer, point, note) for layer in survey.layers for point, note in _rows(layer, is_whole=is_whole)]
    deepest = None if is_whole else _deepest(survey, [layer for layer, _, _ in rows])
    shown: list[tuple[tuple[str, ...], str]] = []
    for layer, point, note in rows:
        is_suggested = chosen is not None and point.tap == chosen.tap
        if deepest is not None and _level(survey, layer) > deepest and not is_suggested:
            continue
        remark = f"suggested; {note}" if is_suggested else note
        style = "bold green" if is_suggested else "dim" if point.obstacle else ""
        cells = (_for_shell(_name(point.tap)), layer.kind, point.axes, f"{point.reached:.0%}", _past(point), remark)
        shown.append((cells, style))
    _print(survey.model, shown, console)
    if left_out := len(rows) - len(shown):
        console.print(f"{left_out} more inside these layers: --all")
    for what, names in (("never called", survey.silent), ("TorchScript, which takes no taps", survey.scripts)):
        if names:
            console.print(Text(f"{what}: {', '.join(map(as_text, names))}", style="dim"), soft_wrap=True)
    if chosen is not None:
        pool = "" if chosen.pool == AUTO else f":{chosen.pool}"
        tap = _for_shell(f"hidden={_name(chosen.tap, is_short=True)}{pool}")
        console.print(Text(f"undertow pack MODEL --name NAME --tap {tap}"), soft_wrap=True)
    elif rows:
        console.print(NOTHING)


def _print(title: str, shown: Sequence[tuple[tuple[str, ...], str]], console: Console) -> None:
    """Print a table, or two lines for each row if it is too wide: a name broken over lines cannot be copied."""
    table = Table(title=title, title_justify="left", caption=LEGEND, caption_justify="left")
    for column, (name, justify) in enumerate(HEADS):
        is_free = not name  # what may be wrapped
        # An explicit width, since rich uses the longest word as the least width even of a cell that must not wrap.
        width = FREE if is_free else max(cell_len(text) for text in (name, *(cells[column] for cells, _ in shown)))
        table.add_column(name, justify=justify, no_wrap=not is_free, min_width=width)  # type: ignore[arg-type]  # rich wants a literal
    for cells, style in shown:
        table.add_row(*map(Text, cells), style=style)
    if Measurement.get(console, console.options.update(max_width=UNLIMITED), table).minimum <= console.width:
        console.print(table)
        return
    console.print(Text(title, style="italic"))
    for (name, kind, axes, cost, past, remark), style in shown:
        console.print(Text(name, style=style), soft_wrap=True)
        rest = (kind, axes, f"cost {cost}", past and f"sees past {past}", remark)
        for line in textwrap.wrap(" · ".join(filter(None, rest)), max(console.width - 4, FREE)):
            console.print(Text(f"    {line}", style=style), soft_wrap=True)
    console.print(Text(LEGEND, style="dim"))


def _past(point: Point) -> str:
    if point.sight is None:
        return ""
    part = point.sight.parts[0]
    return f"{part.seen}/{part.looked_at}, newest {'yes' if part.sees_newest else 'no'}"


def _level(survey: Survey, layer: Layer) -> int:
    """Return how many of the layers that are called contain this one."""
    return sum(any(layer.paths[0].startswith(f"{path}.") for path in outer.paths) for outer in survey.layers)


def _deepest(survey: Survey, layers: list[Layer]) -> int:
    """Return the deepest level at which the table still has a readable number of rows."""
    levels = sorted(_level(survey, layer) for layer in layers)
    return (
        levels[0]
        if len(levels) > MOST_ROWS and levels[MOST_ROWS] == levels[0]
        else max((level for level in levels if sum(other <= level for other in levels) <= MOST_ROWS), default=levels[0])
    )


def _rows(layer: Layer, *, is_whole: bool) -> Iterator[tuple[Point, str]]:
    """Yield a row for each tensor; equal calls share one. Aliases are shown only with `is_whole`."""
    aliases = f"alias {', '.join(map(as_text, layer.paths[1:]))}" if is_whole and len(layer.paths) > 1 else ""
    for _, alike in groupby(layer.points, key=lambda p: (p.tap.select, p.axes, p.obstacle, p.sight)):
        points = list(alike)
        calls = f"also #{', #'.join(str(point.tap.call) for point in points[1:])}" if len(points) > 1 else ""
        kind = "masked" if points[0].is_masked else "steps" if points[0].has_time else "vector"
        what = f"no: {points[0].obstacle}" if points[0].obstacle else kind
        yield points[0], "; ".join(filter(None, (what, *_sight(points[0].sight), calls, aliases)))


def _sight(sight: Sight | None) -> Iterator[str]:
    """Yield remarks on inputs or steps on which the vector does not depend."""
    if sight is None:
        return
    if sight.is_constant:
        yield f"constant but for {', '.join(sight.inputs)}" if sight.inputs else "constant"
        return
    first, *others = sight.parts
    if first.is_narrow:
        yield f"{first.narrow} of {first.channels} channels of {first.pool} see {first.narrow_seen}"
        yield from (f"{part.pool} sees {part.seen} in all" for part in others if part.is_whole)
    if sight.blind:
        listed = ", ".join(sight.blind[:LISTED]) + f" and {len(sight.blind) - LISTED} more" * (
            len(sight.blind) > LISTED
        )
        yield f"does not see {listed}"


def _name(tap: Tap, *, is_short: bool = False) -> str:
    """Format a tap without defaults: the first call, and with `is_short` also first elements."""
    call = f"#{tap.call}" if tap.call else ""
    elements = () if is_short and not any(tap.select) else tap.select
    return f"{as_text(tap.path)}{call}" + "".join(f"[{as_text(str(element))}]" for element in elements)


def _for_shell(text: str) -> str:
    """Quote the text for a shell if needed."""
    return shlex.quote(text) if _OF_A_SHELL.search(text) else text

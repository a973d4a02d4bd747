"""`undertow taps`: what can be tapped in a model, as a table.

In: a `Survey`. Out: text on a console. Knows nothing of models.
"""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.artifact.survey import Layer, Point, Survey
from workers.core.features import Tap

LEGEND = (
    "n windows, t steps of the window, D decoder steps · cost: share of the whole forward's time until there, on this "
    "machine · masked: steps of padding are left out of the pooling"
)


MOST_ROWS = 40


def show(survey: Survey, console: Console, *, as_json: bool, is_whole: bool = False) -> None:
    """Print it: as many levels of nested layers as fit a screen or two, or all of them."""
    if as_json:
        console.print_json(data=survey.to_json())
        return
    table = Table(title=survey.model, title_justify="left", caption=LEGEND, caption_justify="left")
    for name, justify in (("tap", "left"), ("layer", "left"), ("shape", "left"), ("cost", "right"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]  # rich wants a literal
    rows = [(layer, point, note) for layer in survey.layers for point, note in _rows(layer, is_whole=is_whole)]
    deepest = None if is_whole else _deepest(survey, [layer for layer, _, _ in rows])
    left_out = 0
    for layer, point, note in rows:
        is_suggested = point.tap == survey.suggestion
        if deepest is not None and _level(survey, layer) > deepest and not is_suggested:
            left_out += 1
            continue
        remark = f"suggested; {note}" if is_suggested else note
        style = "bold green" if is_suggested else "dim" if point.obstacle else ""
        cells = (Text(cell) for cell in (_name(point.tap), layer.kind, point.axes, f"{point.reached:.0%}", remark))
        table.add_row(*cells, style=style)
    console.print(table)
    if left_out:
        console.print(f"{left_out} more inside these layers: --all")
    if survey.silent:
        console.print(Text(f"never called: {', '.join(survey.silent)}", style="dim"))
    if survey.scripts:
        console.print(Text(f"TorchScript, which takes no taps: {', '.join(survey.scripts)}", style="dim"))
    if survey.suggestion is not None:
        console.print(Text(f"undertow pack MODEL --name NAME --tap hidden={_name(survey.suggestion, is_short=True)}"))


def _level(survey: Survey, layer: Layer) -> int:
    """Return how many of the layers that fire contain this one."""
    return sum(any(layer.paths[0].startswith(f"{path}.") for path in outer.paths) for outer in survey.layers)


def _deepest(survey: Survey, layers: list[Layer]) -> int:
    """Return the deepest level down to which no more rows are needed than one likes to read."""
    levels = sorted(_level(survey, layer) for layer in layers)
    return (
        levels[0]
        if len(levels) > MOST_ROWS and levels[MOST_ROWS] == levels[0]
        else max((level for level in levels if sum(other <= level for other in levels) <= MOST_ROWS), default=levels[0])
    )


def _rows(layer: Layer, *, is_whole: bool) -> Iterator[tuple[Point, str]]:
    """Yield one row for each tensor; calls that differ in nothing share one. Aliases are shown in the whole table."""
    aliases = f"alias {', '.join(layer.paths[1:])}" if is_whole and len(layer.paths) > 1 else ""
    for _, alike in groupby(layer.points, key=lambda p: (p.tap.select, p.axes, p.obstacle)):
        points = list(alike)
        calls = f"also #{', #'.join(str(point.tap.call) for point in points[1:])}" if len(points) > 1 else ""
        kind = "masked" if points[0].is_masked else "steps" if points[0].has_time else "vector"
        what = f"no: {points[0].obstacle}" if points[0].obstacle else kind
        yield points[0], "; ".join(filter(None, (what, calls, aliases)))


def _name(tap: Tap, *, is_short: bool = False) -> str:
    """Leave out what is the default: the first call, and for `is_short` first elements too."""
    call = f"#{tap.call}" if tap.call else ""
    elements = () if is_short and not any(tap.select) else tap.select
    return f"{tap.path}{call}" + "".join(f"[{element}]" for element in elements)

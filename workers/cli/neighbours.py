"""`undertow neighbours`: which series are like a series now.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import click

from undertow.cli.options import seconds, settings_options
from undertow.telemetry.output import say


@click.command()
@click.argument("name")
@click.argument("keys", nargs=-1, required=True, metavar="ID=VALUE...")
@click.option("--k", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@click.option("--feature", default="", help="By which feature, where the space has several.")
@click.option(
    "--metric",
    type=click.Choice(["cosine", "euclidean"]),
    default="cosine",
    show_default=True,
    help="1 - cosine, or the length of the difference.",
)
@click.option("--where", multiple=True, metavar="ID=VALUE", help="Only series with this id; may be repeated.")
@click.option("--max-age", "max_age_s", callback=seconds, metavar="6h", help="None whose vector is older.")
@click.option("as_json", "--json", is_flag=True, help="Print a JSON object a line, for programs.")
@settings_options
def neighbours(
    name: str,
    keys: tuple[str, ...],
    k: int,
    feature: str,
    metric: str,
    where: tuple[str, ...],
    max_age_s: int | None,
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """List the series whose newest vectors are nearest to a series', nearest first.

    NAME is the name of an artifact or of a view; ID=VALUE are the ids of the series. It reads all vectors of the space
    online, in Redis or SQLite, each time: some seconds for 100,000 series. A service keeps an undertow.Reader instead.

    \b
    undertow neighbours watch wearer=s08 side=left --k 5
    undertow neighbours watch wearer=s08 side=left --where side=right
    """
    from undertow.commands.neighbours import NeighbourQuery, json_lines, run, summary, table_for
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    wanted = NeighbourQuery(keys=keys, k=k, feature=feature, metric=metric, where=where, max_age_s=max_age_s)
    found = run(load(overrides), name, wanted)
    if as_json:
        say(*json_lines(found))
        return
    if len(found):
        Terminal().print(table_for(found))
    say(summary(found))

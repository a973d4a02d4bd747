"""`undertow view`: draw a vector space.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from typing import Any

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import ExistingPathType, LocalPathType
from undertow.telemetry.output import say

EXISTING = ExistingPathType()


@click.command()
@click.argument("source", required=False, type=EXISTING)
@click.option(
    "outputs",
    "--output",
    "-o",
    multiple=True,
    default=(".undertow/space.html",),
    show_default=True,
    type=LocalPathType(dir_okay=False),
    help="File to write: .html, .png or .svg; may be repeated.",
)
@click.option("--feature", metavar="NAME", help="The feature to draw, if there are several.")
@click.option("--series", multiple=True, metavar="COLUMN", help="Id column; default: all columns before the time.")
@click.option("--space", metavar="DIGITS", help="First digits of the space to draw, if there are several.")
@click.option(
    "--colour", metavar="COLUMN", help="Colour by a column, or by entity, time or drift; default: labels, or entity."
)
@click.option(
    "--labels", type=EXISTING, help="Parquet or CSV to join by the id columns (and event_timestamp, if it has that)."
)
@click.option(
    "--sample",
    type=click.IntRange(min=5),
    default=5000,
    show_default=True,
    help="Draw at most this many vectors, evenly chosen.",
)
@click.option("--since", metavar="TIME", help="Only event times at or after this time (ISO 8601 with zone).")
@click.option("--until", metavar="TIME", help="Only event times before this time.")
@click.option("--title", help="Title of the picture; default: the name of the space.")
@settings_options
def view(overrides: tuple[str, ...], **options: Any) -> None:
    """Draw a vector space, by PCA and t-SNE.

    Draws the artifact's vectors in the offline log, or those of SOURCE, any Parquet file. PCA's axes say how much of
    the variance they show. t-SNE is for looking only: it shows neighbours, but distances between its groups mean
    nothing. To make embeddings smaller, pack them with pca=N.

    \b
    undertow view --colour drift --output space.html --output space.png
    undertow view history.parquet --labels labels.csv
    """
    from undertow.settings.settings import load
    from undertow.view.run import PictureOptions
    from undertow.view.run import view as draw

    for line in draw(load(overrides), PictureOptions(**options)):
        say(line)

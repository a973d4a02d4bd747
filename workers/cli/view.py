"""The command `undertow view`, apart from the other commands since it has so many options.

In: arguments. Out: lines of text. Knows no rule; what is heavy waits inside.
"""

from typing import Any

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import ExistingPathType, LocalPathType

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
    help="A file to write: .html, .png or .svg; may be repeated.",
)
@click.option("--feature", metavar="NAME", help="The vectors to draw, where there are several.")
@click.option("--series", multiple=True, metavar="COLUMN", help="Names a series; default: what stands before the time.")
@click.option("--space", metavar="DIGITS", help="How the space to draw begins, where the source holds several.")
@click.option("--colour", metavar="COLUMN", help="A column, or entity, time or drift; default: the labels, or entity.")
@click.option(
    "--labels", type=EXISTING, help="Parquet or .csv to join by id columns, and event_timestamp if it has one."
)
@click.option(
    "--sample", type=click.IntRange(min=5), default=5000, show_default=True, help="Draw at most so many, evenly chosen."
)
@click.option("--since", metavar="TIME", help="Only event times at or after this one (ISO 8601 with zone).")
@click.option("--until", metavar="TIME", help="Only event times before this one.")
@click.option("--title", help="Above the picture; default: the name of the space.")
@settings_options
def view(overrides: tuple[str, ...], **options: Any) -> None:
    """Draw a space, by PCA and t-SNE side by side: the artifact's in the offline log, or SOURCE, which is any Parquet.

    PCA's axes say how much of the variance they show. t-SNE is for looking only: it shows who is whose neighbour, while
    distances between its groups have no meaning. To make embeddings smaller, pack them with pca=N.

    \b
    undertow view --colour drift --output space.html --output space.png
    undertow view history.parquet --labels labels.csv
    """
    from undertow.settings.settings import load
    from undertow.view.run import PictureOptions
    from undertow.view.run import view as draw

    for line in draw(load(overrides), PictureOptions(**options)):
        click.echo(line)

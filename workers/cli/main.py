"""The command line: the group of all commands, each in a file of its own.

In: arguments. Out: text, pictures, exit codes: 0 done, 1 failed with a message, 2 wrong usage.
Knows no rule. Heavy imports are inside the commands, so that `--help` answers at once.
"""

from importlib.metadata import version

import click

from undertow.cli.apply import apply
from undertow.cli.backfill import backfill
from undertow.cli.check import check
from undertow.cli.demo import demo
from undertow.cli.describe import describe
from undertow.cli.fleet import drain, run, scale, status
from undertow.cli.forget import forget
from undertow.cli.get import get
from undertow.cli.group import OneLineGroup, needing
from undertow.cli.init import init
from undertow.cli.join import join
from undertow.cli.maintain import maintain
from undertow.cli.neighbours import neighbours
from undertow.cli.pack import pack
from undertow.cli.produce import produce
from undertow.cli.rebuild import rebuild
from undertow.cli.replay import replay
from undertow.cli.series import series
from undertow.cli.settings import settings
from undertow.cli.stack import down, up
from undertow.cli.taps import taps
from undertow.cli.view import view


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error, too.")
@click.version_option(version("undertow"), prog_name="undertow")
@click.pass_context
def main(ctx: click.Context, *, debug: bool) -> None:
    """Turn live time series into features: hidden states of forecasting models, from Kafka to Feast."""
    ctx.obj = debug


for command, extras in (
    (demo, ("demo",)),
    (init, ()),
    (settings, ()),
    (up, ("local",)),
    (down, ("local",)),
    (taps, ()),
    (pack, ()),
    (describe, ()),
    (check, ("kafka", "feast")),
    (apply, ("feast",)),
    (run, ("fleet",)),
    (status, ("fleet",)),
    (scale, ("fleet",)),
    (drain, ("fleet",)),
    (backfill, ("fleet",)),
    (produce, ("kafka",)),
    (get, ("feast",)),
    (neighbours, ("feast",)),
    (series, ("feast",)),
    (replay, ("kafka",)),
    (join, ("feast",)),
    (rebuild, ("feast",)),
    (maintain, ("feast",)),
    (forget, ("feast",)),
    (view, ("view",)),
):
    main.add_command(needing(command, *extras))

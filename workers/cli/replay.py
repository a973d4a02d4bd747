"""`undertow replay`: list, repair and resend dead letters.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

import sys

import click

from undertow.cli.options import settings_options


@click.command()
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    help="Only rejects of this reason. kills-replica and hangs must be named to be sent.",
)
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    metavar="NAME",
    help="Only rejects of this artifact (its name, or a view).",
)
@click.option("--since", metavar="TIME", help="Only rejects at or after this time (ISO 8601 with zone).")
@click.option("--until", metavar="TIME", help="Only rejects before this time.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many, oldest first.")
@click.option(
    "--pipe", metavar="COMMAND", help="Repair records: a command that reads one on stdin and writes the new one."
)
@click.option(
    "--send", is_flag=True, help="Send the records that would be accepted now. Without it, nothing is changed."
)
@click.option("--again", is_flag=True, help="Include those that were sent already.")
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@settings_options
def replay(
    overrides: tuple[str, ...],
    reasons: tuple[str, ...],
    artifacts: tuple[str, ...],
    limit: int | None,
    *,
    send: bool,
    again: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """List dead letters, repair and resend them.

    Each is sent once, to the partition from which it came.

    Ends with 1 where one that was meant would be refused again.

    \b
    undertow replay --reason number
    undertow replay --reason number --pipe "jq -c .past.ax|=map(.//0)" --send
    """
    from undertow.commands.replay import LetterFilter
    from undertow.commands.replay import replay as run_replay
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    times = {name: options[name] for name in ("since", "until")}
    choice = LetterFilter.parse(reasons=reasons, artifacts=artifacts, limit=limit, again=again, **times)
    is_done = run_replay(load(overrides), choice, Terminal(), pipe=options["pipe"], send=send, as_json=as_json)
    sys.exit(0 if is_done else 1)

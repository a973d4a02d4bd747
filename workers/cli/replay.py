"""`undertow replay`: dead letters.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

import sys

import click

from undertow.cli.options import settings_options


@click.command()
@click.option("--reason", "reasons", multiple=True, help="Only this reason; kills-replica and hangs are sent only so.")
@click.option("--artifact", "artifacts", multiple=True, metavar="NAME", help="Only what it refused: name, or view.")
@click.option("--since", metavar="TIME", help="Only what was refused at or after this time (ISO 8601 with zone).")
@click.option("--until", metavar="TIME", help="Only what was refused before this time.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest.")
@click.option("--pipe", metavar="COMMAND", help="Mend each record: reads it on standard input, writes the new one.")
@click.option("--send", is_flag=True, help="Send what would be taken now; without it nothing is changed.")
@click.option("--again", is_flag=True, help="Also those that were sent already.")
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
    """Look at dead letters, mend them, and send them again to the partition they came from, each once.

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

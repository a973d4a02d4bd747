"""The reference of all commands, read off click as `--help` reads it.

In: the group of commands. Out: markdown. Knows no command. mkdocs-click would run the lines of an example into one
paragraph, and leaves arguments out.
"""

import inspect
import re

import click
from tables import code, table

from undertow.cli.main import main

EXAMPLE = "\b\n"
"""Begins a paragraph that click does not wrap: here, always examples."""


def commands() -> str:
    """Return the options of `undertow` itself and, for each command, what it does, its usage, examples and options."""
    group = click.Context(main, info_name="undertow", **main.context_settings)
    return "\n\n".join(_shown(click.Context(one, group, name, **main.context_settings)) for name, one in _all())


def command_list() -> str:
    """Return all commands with the first sentence of each."""
    rows = ((f"[{code(f'undertow {name}')}](#{name})", one.get_short_help_str(limit=200)) for name, one in _all())
    return table(("Command", "What it does"), rows)


def _all() -> list[tuple[str, click.Command]]:
    return list(main.commands.items())


def _shown(ctx: click.Context) -> str:
    text, example = _parts(ctx.command)
    usage = " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])
    shown = [f"## undertow {ctx.info_name} {{ #{ctx.info_name} data-toc-label='{ctx.info_name}' }}", text]
    shown.append(f"```text title='Usage'\n{usage}\n```")
    if example:
        shown.append(f"```text title='Examples'\n{example}\n```")
    options = [one for one in ctx.command.params if isinstance(one, click.Option)]
    records = [record for one in options if (record := one.get_help_record(ctx)) is not None]
    if records:
        shown.append(table(("Option", "What it does"), ((code(names), _escaped(text)) for names, text in records)))
    return "\n\n".join(shown)


def _parts(command: click.Command) -> tuple[str, str]:
    """Return the paragraphs of a command's help, and its examples."""
    text, _, example = inspect.cleandoc(command.help or "").partition(EXAMPLE)
    return _escaped(text), example.strip()


def _escaped(text: str) -> str:
    """Return a text that markdown shows as it is, `code` apart."""
    return re.sub(r"(`[^`]+`)|([\\`*_{}\[\]<>#])", lambda found: found[1] or rf"\{found[2]}", text)

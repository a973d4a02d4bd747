"""What deploy/OPERATIONS.md says of log lines is what the code logs."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named(event, module):
    """The texts that an argument of `say` can be: it is one, or a name that is given them in this module."""
    if isinstance(event, ast.Constant):
        return {event.value}
    given = [
        one.value
        for one in ast.walk(module)
        if isinstance(one, ast.Assign) and getattr(one.targets[0], "id", "") == event.id
    ]
    choices = [value for value in given if isinstance(value, ast.IfExp)]
    return {part.value for choice in choices for part in (choice.body, choice.orelse)}  # type: ignore[attr-defined]


def said():
    """Each event with its level and, where it alone is told by a call, the fields that are told by name."""
    events = defaultdict(set)
    for path in sorted((ROOT / "workers").rglob("*.py")):
        module = ast.parse(path.read_text())
        for call in ast.walk(module):
            if isinstance(call, ast.Call) and ast.unparse(call).startswith("say(log, "):
                is_one = isinstance(call.args[2], ast.Constant)  # of several, each call has other fields
                for event in named(call.args[2], module):
                    events[event, call.args[1].attr] |= {one.arg for one in call.keywords if one.arg and is_one}  # type: ignore[attr-defined]
    return events


def of_the_page():
    table = (ROOT / "deploy/OPERATIONS.md").read_text().partition("## Logs")[2].partition("## ")[0]
    for names, levels, fields, _ in re.findall(r"^\| (`.+?) \| (.+?) \| (.*?) ?\| (.+) \|$", table, re.MULTILINE):
        for name, level in zip(re.findall(r"`(.+?)`", names), levels.split(", "), strict=True):
            yield (name, level), set(fields.split(", "))


def test_every_event_stands_in_the_page_with_its_level_and_its_fields():
    events, page = said(), dict(of_the_page())
    assert len(events) > 20
    assert sorted(events.keys() - page.keys()) == []
    assert {event: lacking for event, fields in events.items() if (lacking := fields - page[event])} == {}
    by_no_say = [("crashed", "ERROR"), ("thread-ended", "ERROR")]  # logged with their traces
    assert sorted(page.keys() - events.keys()) == by_no_say

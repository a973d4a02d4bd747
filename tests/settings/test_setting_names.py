"""A setting has one name, from the file to the place where it is used: nothing is copied under another name."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from undertow.adapters.feast_repo import OnlineRecipe
from undertow.backfill.embed import BackfillRecipe
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import Settings
from undertow.telemetry.listeners import ListenerRecipe
from undertow.telemetry.logs import LogRecipe
from undertow.wiring.recipes import EmbedRecipe
from undertow.wiring.root import StreamRecipe

WORKERS = Path(__file__).parents[2] / "workers"
TREES = {path.relative_to(WORKERS): ast.parse(path.read_text("utf-8")) for path in sorted(WORKERS.rglob("*.py"))}
VALIDATORS = {"field_validator", "model_validator"}
RENAMED = {
    ("group_id", "group"): "kafka-python's name",
    ("root", "path"): "the folder of a log is its root, wherever it is written down",
    ("fleet", "name"): "the name of a fleet, among those of replicas and artifacts",
}
"""By the name of a keyword and the setting that it is given: why it is another one."""
COPIED = {
    LogRecipe: {"log_level", "log_format"},  # of no section
    OnlineRecipe: {"repo", "replace_alien_keys"},  # beside what Feast's own file says, which is not ours
}


def keys_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, (*path, name))
        else:
            yield (*path, name)


KEYS = sorted(keys_of(Settings))
NAMES = {("settings", key[-1]) for key in KEYS} | {key[-2:] for key in KEYS}
"""As code may name a setting: in whatever is called `settings`, or in its section."""


def owner(node: ast.expr) -> str:
    """Return the last name of what an attribute is taken of, such as `fleet` of `recipe.fleet.replicas`."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_")


def is_setting(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and (owner(node.value), node.attr) in NAMES


def reads(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield the attributes that are read, but for those of validators: these look at values and use none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            names = {name.id for each in node.decorator_list for name in ast.walk(each) if isinstance(name, ast.Name)}
            if names & VALIDATORS:
                continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node
        yield from reads(node)


READ = {
    (owner(node.value), node.attr)
    for path, tree in TREES.items()
    for node in reads(tree)
    if (path.parts[0] == "settings") == (owner(node.value) == "self")  # a section may hand itself on, as login options
}


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_each_setting_is_used_under_its_own_name(key):
    section, name = ("settings", *key)[-2:]
    is_of_table = section == "kafka" and name in KafkaSettings.VENDOR  # `login_options` goes through all of these
    assert is_of_table or READ & {(section, name), ("settings", name), ("self", name)}


def test_no_setting_is_handed_on_under_another_name():
    renamed = {
        (keyword.arg, keyword.value.attr): f"{path}:{keyword.value.lineno}"  # type: ignore[attr-defined]
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if is_setting(keyword.value) and keyword.arg not in {None, keyword.value.attr}  # type: ignore[attr-defined]
    }
    assert {pair: place for pair, place in renamed.items() if pair not in RENAMED} == {}
    assert renamed.keys() == RENAMED.keys()  # an exception that nothing needs is taken out


@pytest.mark.parametrize("recipe", [StreamRecipe, EmbedRecipe, OnlineRecipe, BackfillRecipe, ListenerRecipe, LogRecipe])
def test_a_recipe_holds_sections_whole_and_lists_no_setting_of_them_again(recipe):
    assert {one.name for one in fields(recipe)} & {key[-1] for key in KEYS} == COPIED.get(recipe, set())

"""Modules from users' own code, imported only from packages that the settings list.

In: a `ModuleRecipe` and the packages whose code may run. Out: the module, and the function that calls it with the built
inputs. Knows no file of an artifact.
"""

import difflib
import hashlib
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from undertow.artifact.format.allowed_code import package_of, require_allowed
from undertow.artifact.format.recipes import ModuleInput, ModuleRecipe
from undertow.core.errors import Refused
from undertow.core.taps import Call

Maker = Callable[..., object]

PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def build_module(recipe: ModuleRecipe, code: Collection[str]) -> nn.Module:
    """Build the module, untrained, in eval mode. Raises `Refused`."""
    make = find_maker(recipe.cls, code)
    try:
        model = make(**recipe.arguments)
    except Exception as error:
        given = ", ".join(recipe.arguments) or "none"
        message = f"{recipe.cls} cannot be built with its arguments ({given}): {type(error).__name__}: {error}"
        raise Refused(message) from error
    if not isinstance(model, nn.Module):
        message = f"expected {recipe.cls} to make an nn.Module, found {type(model).__name__}"
        raise Refused(message)
    return model.eval()


def find_maker(path: str, code: Collection[str]) -> Maker:
    """Import and return the class or function `package.module:Name` that makes the module. Raises `Refused`.

    Only packages in `code` are imported. A function must be annotated to return a module: calling any other one could
    do anything.
    """
    if not PATH.fullmatch(path):
        message = f"expected a class as package.module:Name, found {path!r}"
        raise Refused(message)
    require_allowed(path, code)
    place, _, name = path.partition(":")
    try:
        found = vars(importlib.import_module(place))
    except Exception as error:
        message = (
            f"cannot import {place}, which the model {path} comes from: {type(error).__name__}: {error}. Install "
            f"{package_of(path)}, or put its folder on PYTHONPATH, here and wherever a replica runs"
        )
        raise Refused(message) from error
    if name not in found:
        close = difflib.get_close_matches(name, [key for key, value in found.items() if _makes_modules(value)], n=3)
        message = f"no {name} in {place}" + (f"; closest: {', '.join(close)}" if close else "")
        raise Refused(message)
    maker: Maker = found[name]
    home = getattr(maker, "__module__", None) or ""
    if not _makes_modules(maker) or package_of(home) not in code:
        message = (
            f"expected {path} to be a class of nn.Module, or a function annotated to return one (-> nn.Module), from a "
            f"package of model.code, found {_kind(maker)} of {home or place}"
        )
        raise Refused(message)
    return maker


def source_digest(maker: Maker) -> str:
    """Return the SHA-256 of the file that defines it, or of no bytes if there is no such file."""
    file = Path(inspect.getfile(maker))
    return hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()


def make_call(model: nn.Module, given: ModuleInput) -> Call:
    """Return the function that calls the module with its part of the inputs `x`.

    The module gets a copy: a write in place would otherwise change `x` for the next attempt.
    """

    def call(x: dict[str, Any]) -> object:
        values: Tensor = x["encoder_cont" if given.dtype == "float32" else "encoder_cat"]  # (n, t, c)
        match given.axes:
            case "nct":
                values = values.transpose(1, 2)
            case "tnc":
                values = values.transpose(0, 1)
            case "nf":
                values = values.flatten(1)
            case "ntc":
                pass
        values = values.clone(memory_format=torch.contiguous_format)
        keywords = {} if given.lengths is None else {given.lengths: x["encoder_lengths"].clone()}
        if given.argument is None:
            return model(values, **keywords)
        return model(**{given.argument: values}, **keywords)

    return call


def _makes_modules(value: Any) -> bool:
    if inspect.isclass(value):
        return issubclass(value, nn.Module)
    if not inspect.isfunction(value):
        return False
    try:
        returned = typing.get_type_hints(value).get("return")
    except Exception:  # noqa: BLE001 an annotation may be any expression, and evaluating it may fail
        return False
    return inspect.isclass(returned) and issubclass(returned, nn.Module)


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"

"""The manifest: everything about an artifact except its weights.

In: an artifact's folder. Out: `Manifest`, its JSON and its Feast view. Knows neither torch nor pytorch-forecasting, so
that commands and the controller read it without importing them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from undertow.artifact.format.certificate import Certificate
from undertow.artifact.format.names import check_columns
from undertow.artifact.format.parts import Compiled
from undertow.artifact.format.pruning import Pruning
from undertow.artifact.format.recipes import Recipe, recipe_from_json
from undertow.artifact.format.spaces import Precision, digest, space_id
from undertow.artifact.format.typed import find_wrong
from undertow.core.errors import Refused
from undertow.core.features import TappedFeature
from undertow.core.preprocessing import Preprocessing
from undertow.schemas.contract import InputContract
from undertow.schemas.spaces import Facts, SpaceView
from undertow.storage.known_files import read_known
from undertow.storage.store_path import AnyPath, as_path

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
FORMAT = 2
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading JSON of an unexpected structure may raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about an artifact except its weights."""

    name: str
    """The stable name under which readers find its features."""
    description: str
    model: Recipe
    features: tuple[TappedFeature, ...]
    preprocessing: Preprocessing
    contract: InputContract
    pruning: Pruning
    """The parts of the model that are skipped. Not part of the space id: the vectors are the same."""
    weights: str
    """SHA-256 of the weights file."""
    checkpoint: str
    """SHA-256 of the model checkpoint from which it was packed."""
    precision: Precision
    """The numeric precision of the forward."""
    versions: Mapping[str, str]
    """Versions of the libraries by which it was packed."""
    sample: Mapping[str, tuple[tuple[float, ...], ...]]
    """By feature, the vectors of the first sample windows; loading compares them."""
    facts: Facts
    """Facts about features for users, such as how much variance a PCA explains."""
    certificate: Certificate | None
    """None only during packing."""
    ttl_seconds: int | None = None
    """The ttl of its Feast view, if one was given. Not part of the space id."""
    compiled: Compiled | None = None
    """Native code for one kind of machine, if any; run only with `model.run_compiled`. Not part of the space id: the
    vectors are the same."""

    @property
    def space(self) -> str:
        """The full space id (64 hex digits)."""
        return space_id(
            weights=self.weights,
            model=self.model.to_json(),
            features=[one.to_json() for one in self.features],
            preprocessing=self.preprocessing.to_json(),
            numeric=self.precision,
        )

    def view(self) -> SpaceView:
        """Return the description of its Feast view."""
        return SpaceView(
            name=self.name,
            space=self.space,
            series=self.contract.series,
            features=tuple((one.name, one.size) for one in self.features),
            description=self.description,
            facts=self.facts,
            ttl_seconds=self.ttl_seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`, with the hash of all of it."""
        data = {
            "format": FORMAT,
            "name": self.name,
            "description": self.description,
            "space": self.space,
            "model": self.model.to_json(),
            "features": [one.to_json() for one in self.features],
            "preprocessing": self.preprocessing.to_json(),
            "contract": self.contract.to_json(),
            "numeric": self.precision,
            "pruning": self.pruning.to_json(),
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            "versions": dict(self.versions),
            "sample": {name: [list(row) for row in rows] for name, rows in self.sample.items()},
            "facts": {name: dict(known) for name, known in self.facts.items()},
            "certificate": None if self.certificate is None else self.certificate.to_json(),
        }
        if self.ttl_seconds is not None:
            data["ttl_seconds"] = self.ttl_seconds
        if self.compiled is not None:
            data["compiled"] = self.compiled.to_json()
        return {**data, "sha256": digest(data)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Manifest":
        """Read what `to_json` wrote."""
        return cls(
            name=data["name"],
            description=data["description"],
            model=recipe_from_json(data["model"]),
            features=tuple(TappedFeature.from_json(one) for one in data["features"]),
            preprocessing=Preprocessing.from_json(data["preprocessing"]),
            contract=InputContract.from_json(data["contract"]),
            pruning=Pruning.from_json(data["pruning"]),
            weights=data["weights"],
            checkpoint=data["checkpoint"],
            precision=data["numeric"],
            versions=data["versions"],
            sample={name: tuple(tuple(row) for row in rows) for name, rows in data["sample"].items()},
            facts=data["facts"],
            certificate=Certificate.from_json(data["certificate"]),
            ttl_seconds=data.get("ttl_seconds"),
            compiled=Compiled.from_json(data["compiled"]) if "compiled" in data else None,
        )


def read_manifest(path: AnyPath | str) -> Manifest:
    """Read the manifest of the artifact in the folder `path`. Raises `Refused` unless it is complete and unaltered."""
    path = as_path(path)
    file = path / MANIFEST
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        message = f"expected an artifact in {path}, found no {MANIFEST} there; make one: undertow pack"
        raise Refused(message) from error
    except OSError as error:
        message = f"expected an artifact in {path}, a folder as `undertow pack` wrote it, found: {error.strerror}"
        raise Refused(message) from error
    try:
        data = json.loads(content)
        seal, form = data.pop("sha256"), data.get("format")
        is_whole = form != FORMAT or seal == digest(data)
    except UNREADABLE as error:
        message = f"{file} is damaged: it is not the JSON that `undertow pack` wrote; pack the artifact again"
        raise Refused(message) from error
    if form != FORMAT:
        message = f"{file} has format {form!r}, this version reads {FORMAT}; pack the artifact again"
        raise Refused(message)
    if not is_whole:
        message = (
            f"{file} was altered after packing: its content does not have the hash it names; pack the artifact again"
        )
        raise Refused(message)
    try:
        manifest = Manifest.from_json(data)
        wrong = find_wrong(manifest, Manifest)
        space, named = "" if wrong else manifest.space, str(data["space"])
    except UNREADABLE as error:
        message = f"{file} is no manifest that this version reads: {_what(error)}; pack the artifact again"
        raise Refused(message) from error
    if wrong:
        message = f"{file} is no manifest that this version reads: {wrong}; pack the artifact again"
        raise Refused(message)
    if space != named:
        message = f"{file} names the space {named[:8]}, its content makes {space[:8]}; pack it again"
        raise Refused(message)
    try:  # an earlier version packed names that its log could not hold
        check_columns((one.name for one in manifest.contract.series), (one.name for one in manifest.features))
    except Refused as refusal:
        message = f"the artifact {path} cannot be used: {refusal}"
        raise Refused(message) from None
    return manifest


def _what(error: Exception) -> str:
    """Say in one line what is wrong."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return f"{type(error).__name__}: {error}"


def read_weights(path: AnyPath, manifest: Manifest) -> bytes:
    """Return the bytes of the artifact's weights. Raises `Refused` unless their hash is the manifest's."""
    return _read(path / WEIGHTS, manifest.weights)


def read_compiled(path: AnyPath, manifest: Manifest) -> dict[str, bytes]:
    """Return the packages of native code by file name. Raises `Refused` unless their hashes are the manifest's."""
    parts = () if manifest.compiled is None else manifest.compiled.parts
    return {part.file: _read(path / part.file, part.sha256) for part in parts}


def _read(file: AnyPath, expected: str) -> bytes:
    try:
        content = read_known(file, expected)
    except FileNotFoundError as error:
        message = f"{file} is missing; an artifact is the folder as `undertow pack` wrote it"
        raise Refused(message) from error
    except OSError as error:
        message = f"cannot read {file}: {error.strerror}; an artifact is the folder as `undertow pack` wrote it"
        raise Refused(message) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        message = (
            f"{file} was altered or cut short after packing: expected SHA-256 {expected[:12]}..., found "
            f"{found[:12]}... in {len(content)} bytes; copy or pack the artifact again"
        )
        raise Refused(message)
    return content

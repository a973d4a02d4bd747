"""`undertow describe`: show an artifact's manifest, and the warnings of loading it here.

In: an artifact's folder. Out: text on a console, or JSON. Changes nothing.
"""

import shlex
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from undertow.artifact.faster.notices import kept
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.commands.observed_samples import encode_observations, make_known, make_observations
from undertow.commands.samples import FORMS, Form, encode_sample, make_window
from undertow.core.encoding import uses
from undertow.core.errors import Refused, UndertowError
from undertow.observations.plan import WindowPlan
from undertow.schemas.contract import Column
from undertow.schemas.embeddings import offline_schema
from undertow.schemas.spaces import SpaceView
from undertow.schemas.windows_arrow import window_schema
from undertow.schemas.wording import between, counted
from undertow.settings.sections import ModelSettings
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.wiring.window_plan import known_from_topic, plan_windows

LoadArtifact = Callable[[AnyPath, ModelSettings], None]
LISTED = 8
"""How many categories are listed; the rest are counted. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSamples:
    """What a made-up window is made of: the last row of each kind, as an object of JSON; None where there is none."""

    observation: Mapping[str, Any] | None = None
    known: Mapping[str, Any] | None = None
    """What is known ahead."""
    known_topic: str = ""
    """The topic of which it would be a record."""


def load_once(path: AnyPath, model: ModelSettings) -> None:
    """Load the artifact as a replica does, and close it."""
    # Imported here, since torch and pytorch-forecasting take seconds.
    from undertow.artifact.load.loader import load  # noqa: PLC0415

    load(path, device=model.device, threads=model.threads, code=model.code, run_compiled=model.run_compiled).close()


def describe(
    path: AnyPath,
    model: ModelSettings,
    console: Console,
    *,
    as_json: bool = False,
    load: LoadArtifact = load_once,
    settings: Settings | None = None,
) -> None:
    """Print the description; where `settings` say how observations become windows (`windows.every`), one of these, too.

    And one row of what is known ahead, where a topic says it (`windows.known_topic`). Raises `Refused` if the artifact
    is damaged; at the end also if it cannot be loaded.
    """
    manifest = read_manifest(path)
    fault: UndertowError | None = None
    with kept() as notices:
        try:
            load(path, model)
        except UndertowError as error:
            fault = Refused(f"it cannot be loaded here: {error}")
            notices.append(str(fault))
    samples, rows = _samples(manifest), _rows(manifest, settings, notices)
    if as_json:
        console.print_json(data=_as_json(manifest, notices, samples, rows))
    else:
        _show(path, manifest, notices, samples, rows, console)
    if fault is not None:
        raise fault


def sample(path: AnyPath, form: Form, write: Callable[[bytes], object], settings: Settings | None = None) -> None:
    """Write one made-up window, in a form that the stream or a file takes, or its observations if `settings` say so.

    They do by `kafka.content`. Loads no model. Raises `Refused`.
    """
    manifest = read_manifest(path)
    if settings is not None and settings.kafka.content == "observations":
        plan = plan_windows(settings.windows, manifest.contract)
        content = encode_observations(form, make_observations(make_window(manifest), plan), plan)
    else:
        content = encode_sample(form, make_window(manifest), manifest.contract)
    write(content + b"\n" if form == "json" else content)


def _rows(manifest: Manifest, settings: Settings | None, notices: list[str]) -> RowSamples:
    """Return a row of each kind that the settings have windows made of; why there is none is a notice."""
    if settings is None or not settings.windows.every:
        return RowSamples()
    try:
        plan = plan_windows(settings.windows, manifest.contract)
    except Refused as error:
        notices.append(f"no windows can be made of observations: {error}")
        return RowSamples()
    window = make_window(manifest)
    observation = _last(make_observations(window, plan), plan)
    if not known_from_topic(settings.windows, manifest.contract):
        return RowSamples(observation=observation)
    known = _last(make_known(window, plan), plan)
    return RowSamples(observation=observation, known=known, known_topic=settings.windows.known_topic)


def _last(rows: pa.Table, plan: WindowPlan) -> dict[str, Any]:
    """Return the last row as an object of JSON."""
    found: dict[str, Any] = orjson.loads(encode_observations("json", rows, plan))[-1]
    return found


def _samples(manifest: Manifest) -> dict[Form, bytes]:
    """Return the same window in all forms whose packages are installed."""
    windows, samples = make_window(manifest), {}
    for form in FORMS:
        with suppress(Refused):
            samples[form] = encode_sample(form, windows, manifest.contract)
    return samples


def _show(
    path: AnyPath,
    manifest: Manifest,
    notices: list[str],
    samples: Mapping[Form, bytes],
    rows: RowSamples,
    console: Console,
) -> None:
    for name, value in _head(manifest):
        console.print(Text(f"{name:<12} {value}"), soft_wrap=True)
    _print(console, ("window", "column", "takes"), list(_contract(manifest)))
    _print(console, ("feature", "tap", "size", "sees"), list(_features(manifest)))
    if manifest.certificate is not None:
        console.print(Text("\nseen when it was packed"), style="bold")
        for line in manifest.certificate.lines(with_sight=False):
            console.print(Text(line), soft_wrap=True)
    console.print(Text("\nsaid when it was loaded here"), style="bold")
    for notice in notices or ["nothing: it runs as it was packed"]:
        console.print(Text(notice), soft_wrap=True)
    console.print(Text("\na window of made-up numbers, as one record of JSON"), style="bold")
    console.print(Text(samples["json"].decode()), soft_wrap=True)
    if rows.observation is not None:
        title = "its last observation, as one record of JSON (kafka.content = observations)"
        console.print(Text(f"\n{title}"), style="bold")
        console.print(Text(orjson.dumps(rows.observation).decode()), soft_wrap=True)
    if rows.known is not None:
        title = (
            f"what is known of the last step ahead, as one record of JSON for {rows.known_topic} (windows.known_topic)"
        )
        console.print(Text(f"\n{title}; with ids if it differs by series"), style="bold")
        console.print(Text(orjson.dumps(rows.known).decode()), soft_wrap=True)
    console.print(Text("\nthe same window as bytes, to be sent or kept"), style="bold")
    for form, content in samples.items():
        size = f"# {counted(len(content), 'byte')}"
        command = f"undertow describe {shlex.quote(str(path))} --sample {form:<7} > window.{form:<7}"
        console.print(Text(f"{command}  {size}"), soft_wrap=True)
    _list("a Parquet file for undertow backfill, one window in each row", window_schema(manifest.contract), console)
    _list("the offline log, one embedding in each row", _log_schema(manifest.view()), console)


def _list(title: str, columns: pa.Schema, console: Console) -> None:
    console.print(Text(f"\nthe columns of {title}"), style="bold")
    for field in columns:
        console.print(Text(f"{field.name}: {field.type}"), soft_wrap=True)


def _log_schema(view: SpaceView) -> pa.Schema:
    return offline_schema({one.name: one.type for one in view.series}, [name for name, _ in view.features])


def _head(manifest: Manifest) -> Iterator[tuple[str, str]]:
    view = manifest.view()
    yield "artifact", f"{manifest.name}: {manifest.description}"
    yield "view", view.view
    yield "space", view.space
    yield "model", f"{manifest.model.cls}, in {manifest.precision}"
    yield "packed with", ", ".join(f"{library} {version}" for library, version in sorted(manifest.versions.items()))
    if manifest.compiled is not None:
        parts = ", ".join(part.path for part in manifest.compiled.parts)
        yield "native code", f"{parts} (runs with model.run_compiled)"


def _contract(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    contract, known = manifest.contract, _known_ids(manifest)
    steps = between(contract.min_length, contract.max_length, "step")
    gaps = "; a step but the first and the last may be missing: null in all columns" if contract.allows_gaps else ""
    for identity in contract.series:
        closed = f"; it knows no others than {_listed(known[identity.name])}" if identity.name in known else ""
        yield "series", identity.name, f"{identity.type}, a join key{closed}"
    for column in contract.past:
        yield "past", column.name, f"{steps}: {_values(column)}{gaps}"
    for column in contract.future:
        yield "future", column.name, f"{counted(contract.horizon, 'step')}: {_values(column)}"
    for column in contract.static:
        yield "static", column.name, _values(column)


def _values(column: Column) -> str:
    if column.categories is None:
        return "numbers"
    return _listed(column.categories) + ("; any other and null are one class more" if column.accepts_unknown else "")


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - LISTED} more" if len(values) > LISTED else ""
    return ", ".join(values[:LISTED]) + more


def _known_ids(manifest: Manifest) -> dict[str, list[str]]:
    """Return, by column, the series ids that the model encodes: it accepts only those of training."""
    closed = {one.name: one.codes for one in manifest.preprocessing.encoders if one.unknown is None}
    found = (use for use in uses(manifest.preprocessing) if use[0] == "series" and use[2] in closed)
    return {name: sorted(map(str, closed[encoder])) for _, name, encoder in found}


def _features(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    proofs = {one.name: one for one in manifest.certificate.features} if manifest.certificate else {}
    for one in manifest.features:
        proof = proofs.get(one.name)
        sight = "not measured" if proof is None or proof.sight is None else "; ".join(proof.sight.words())
        yield one.name, str(one.feature), str(one.size), sight


def _as_json(manifest: Manifest, notices: list[str], samples: Mapping[Form, bytes], rows: RowSamples) -> dict[str, Any]:
    view, certificate = manifest.view(), manifest.certificate
    proofs = {one.name: one.sight for one in certificate.features} if certificate else {}
    return {
        **view.to_json(),
        "view": view.view,
        "model": manifest.model.cls,
        "numeric": manifest.precision,
        "versions": dict(manifest.versions),
        "compiled": [] if manifest.compiled is None else [part.path for part in manifest.compiled.parts],
        "contract": manifest.contract.to_json(),
        "known_ids": _known_ids(manifest),
        "features": [
            {
                "name": one.name,
                "feature": str(one.feature),
                "size": one.size,
                "sees": None if (sight := proofs.get(one.name)) is None else sight.to_json(),
            }
            for one in manifest.features
        ],
        "certificate": None if certificate is None else certificate.to_json(),
        "notices": notices,
        "sample": orjson.loads(samples["json"]),
        "sample_observation": rows.observation,
        "sample_known": rows.known,
        "samples": {form: b64encode(content).decode() for form, content in samples.items()},
        "window_columns": {field.name: str(field.type) for field in window_schema(manifest.contract)},
        "log_columns": {field.name: str(field.type) for field in _log_schema(view)},
    }


def _print(console: Console, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table in which only the last column wraps: a name that is broken over lines cannot be copied."""
    table = Table(title_justify="left")
    for head in heads:
        table.add_column(head, no_wrap=head != heads[-1], overflow="fold")
    for cells in rows:
        table.add_row(*map(Text, cells))
    least = Measurement.get(console, console.options.update(max_width=10_000), table).minimum
    console.print(table, width=max(console.width, least), crop=False)

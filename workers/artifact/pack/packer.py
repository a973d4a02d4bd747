"""Pack a trained model into an artifact, once, at a place where its checkpoint is trusted.

In: a Lightning checkpoint or the TOML of a plain module, taps, a name. Out: a folder of safetensors and JSON, which
appears complete or not at all. Knows no store.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

import safetensors.torch
import torch
from torch import Tensor, nn

from undertow.artifact.dry_runs.learn import learn
from undertow.artifact.faster.compiling import compile_parts
from undertow.artifact.faster.prepare import find_unneeded
from undertow.artifact.faster.skipping import fill
from undertow.artifact.format.manifest import MANIFEST, WEIGHTS, Manifest
from undertow.artifact.format.names import check_ids, check_names
from undertow.artifact.format.reductions import to_tensors
from undertow.artifact.format.spaces import FLOAT32, Precision
from undertow.artifact.load.building import build_model
from undertow.artifact.load.loader import KEPT_SAMPLES, embed_samples, find_call, make_embedder, settle, use_compiled
from undertow.artifact.pack.certify.forecast_proof import forecast_facts, with_forecast
from undertow.artifact.pack.certify.fresh import Afresh, look_afresh
from undertow.artifact.pack.certify.proof import Weights, certify, check_again
from undertow.artifact.pack.fit import Fitted, check_company, check_sizes, check_wish, fit_reductions, without_reduction
from undertow.artifact.pack.notes import unsaid_axes, unsaid_calls, unsaid_sight
from undertow.artifact.pack.place import check_place, write
from undertow.artifact.pack.read.trained import read_trained
from undertow.core.embedder import Embedder
from undertow.core.errors import Refused
from undertow.core.features import Feature, TappedFeature
from undertow.core.reduction import Reduction
from undertow.core.taps import paths_of
from undertow.storage.store_path import AnyPath, as_path

LIBRARIES = ("torch", "pytorch-forecasting", "undertow")
BATCHES = (256, 5_000)
"""The default batch sizes to certify: those of `kafka.max_batch` and `backfill.chunk_rows`."""


def pack(
    checkpoint: Path | str,
    output: AnyPath | str,
    *,
    name: str,
    taps: Mapping[str, Feature | str],
    series: Sequence[str] | None = None,
    model_class: str | None = None,
    description: str = "",
    trust: bool = False,
    code: Collection[str] = (),
    note: Callable[[str], object] | None = None,
    fit: Path | str | None = None,
    precision: Precision = FLOAT32,
    is_compiled: bool = False,
    ttl_s: int | None = None,
    batches: Sequence[int] = BATCHES,
    afresh: Afresh = look_afresh,
) -> Manifest:
    """Write the artifact to the folder `output`; return its manifest. Raises `Refused`, and then writes nothing.

    `taps`: feature names and their taps, as `Feature` or as text: `{"hidden": "rnn:last+mean"}`.
    `series`: the id columns of the windows, as `wearer`, `wearer:string` or `lap:integer`; by default the groups of the
    model's data set.
    `model_class`: the class of the checkpoint's model, if it cannot be recognised.
    `trust`: whether pickles in the checkpoint may run.
    `code`: the packages from which a user's own class may be imported.
    `note`: called with one sentence for each default that was assumed.
    `fit`: a Parquet file or a folder of them, as for a backfill, with the windows on which PCAs are fitted.
    `precision`: `bfloat16` lowers the precision of the forward by torch.autocast, in a space of its own.
    `is_compiled`: whether to add native code for this kind of machine, if it can be compiled.
    `ttl_s`: seconds after its event time for which a vector counts in Feast's joins, 0 for ever.
    `batches`: sizes of batches to certify, as far as that takes only seconds.
    `afresh`: loads the finished folder for comparison, by default in a new process, which finds code by the
    environment (PYTHONPATH) alone.
    """
    checkpoint, output, fit = Path(checkpoint), as_path(output), None if fit is None else Path(fit)
    _check(name, taps, output)
    say = note or (lambda _: None)
    trained = read_trained(checkpoint, trust=trust, series=series, model_class=model_class, code=code)
    paths = paths_of(trained.model)
    features = {key: Feature.parse(tap, paths) if isinstance(tap, str) else tap for key, tap in taps.items()}
    check_wish(features, fit)
    check_ids(trained.contract, features)
    trained = with_forecast(trained, features)
    weights = _weights(trained.model)
    rebuilt = build_model(trained.recipe, code)
    settle(rebuilt, trained.recipe, trained.preprocessing, trained.contract)
    rebuilt.load_state_dict(weights)
    tapped, contract = learn(trained.model, features, trained.preprocessing, trained.contract, trained.call)
    check_sizes(tapped)
    call = find_call(trained.recipe, rebuilt, tapped, precision, torch.device("cpu"))
    pruning = find_unneeded(rebuilt, tapped, trained.preprocessing, contract, call)
    kept = {key: tensor for key, tensor in weights.items() if key not in pruning.dropped}
    fill(rebuilt, kept, pruning.dropped)
    content = safetensors.torch.save(kept)
    draft = Manifest(
        name=name,
        description=description or _describe(trained.model, tapped, precision),
        model=trained.recipe,
        features=tapped,
        preprocessing=trained.preprocessing,
        contract=contract,
        pruning=pruning,
        weights=hashlib.sha256(content).hexdigest(),
        checkpoint=trained.digest,
        precision=precision,
        versions=_versions(),
        sample={},
        facts=forecast_facts(trained, features),
        certificate=None,
        ttl_seconds=ttl_s,
    )
    reductions: dict[str, Reduction] = {}
    if fit is not None:
        before = make_embedder(replace(draft, features=without_reduction(tapped)), rebuilt)
        fitted = fit_reductions(before, tapped, fit, contract)
        before.close()
        reductions = {key: one.reduction for key, one in fitted.items()}
        content = safetensors.torch.save({**kept, **to_tensors(reductions)})
        draft = replace(
            draft,
            weights=hashlib.sha256(content).hexdigest(),
            description=description or _describe(trained.model, tapped, precision, fitted),
            facts={**draft.facts, **{key: one.facts() for key, one in fitted.items()}},
        )
    embedder = make_embedder(draft, rebuilt, reductions=reductions)
    if fit is not None:
        check_company(embedder, fit, contract)
    stored = Weights(parameters=pruning.kept, size=len(content))
    vectors, certificate = certify(embedder, trained, tapped, contract, stored, precision, reductions, batches)
    draft, packages = _compile(draft, rebuilt, embedder, say) if is_compiled else (draft, {})
    embedder.close()
    sights = {one.name: one.sight for one in certificate.features if one.sight is not None}
    unseen = unsaid_sight(tapped, sights, trained.preprocessing.prediction_length)
    for sentence in (*trained.notes, *unsaid_calls(trained, taps), *unsaid_axes(tapped), *unseen):
        say(sentence)
    sample = {key: tuple(map(tuple, array[:KEPT_SAMPLES].tolist())) for key, array in vectors.items()}
    manifest = replace(draft, sample=sample, certificate=certificate)
    text = json.dumps(manifest.to_json(), indent=2, allow_nan=False) + "\n"  # unsorted: models may depend on order

    def check(folder: Path) -> None:
        check_again(certificate, vectors, afresh(folder, code, torch.get_num_threads()))

    write(output, {WEIGHTS: content, **packages, MANIFEST: text.encode()}, check)
    return manifest


def _check(name: str, taps: Collection[str], output: AnyPath) -> None:
    check_names(name, taps)
    if not taps:
        message = (
            "expected at least one tap, such as hidden=lstm_encoder:last, found none; see what there is: undertow taps"
        )
        raise Refused(message)
    check_place(output)


def _compile(
    draft: Manifest, model: nn.Module, embedder: Embedder, say: Callable[[str], object]
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest with the compiled parts and their packages, or without if they do not give the same."""
    if draft.precision != FLOAT32:
        say(f"nothing is compiled: expected a forward in float32, found {draft.precision}")
        return draft, {}
    paths = [one.feature.tap.path for one in draft.features]
    compiled, packages = compile_parts(model, paths, lambda: embed_samples(embedder, draft), say)
    made = replace(draft, compiled=compiled)
    if compiled is None or not use_compiled(embedder, model, made, packages, torch.device("cpu")):
        return draft, {}
    return made, packages


def _describe(
    model: nn.Module,
    features: Sequence[TappedFeature],
    precision: Precision,
    fitted: Mapping[str, Fitted] = MappingProxyType({}),
) -> str:
    kept = {name: f" ({sum(one.explained):.1%} of the variance)" for name, one in fitted.items()}
    texts = (f"{one.name} = {one.feature}{kept.get(one.name, '')}" for one in features)
    narrow = "" if precision == FLOAT32 else f" in {precision}"
    return f"{type(model).__name__}{narrow}, " + ", ".join(texts)


def _versions() -> dict[str, str]:
    """Return the version of each library that is installed: of a plain module's, one may be not."""
    found = {}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[library] = version(library)
    return found


def _weights(model: nn.Module) -> dict[str, Tensor]:
    weights = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            message = (
                f"expected weights in float32, found {tensor.dtype} in {name}; save the checkpoint in full precision"
            )
            raise Refused(message)
        weights[name] = tensor.detach().clone().contiguous()  # safetensors refuses tensors that share memory
    return weights

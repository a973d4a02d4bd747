"""`undertow backfill`: history in the foreground, with a progress bar.

In: settings, a Parquet file or folder, or its address. Out: the report, printed. Knows nothing of how it is embedded.
"""

import re
import time
from collections.abc import Iterator
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from undertow.backfill.chunks import cut
from undertow.backfill.embed import BackfillRecipe, BackfillTools
from undertow.backfill.job import BackfillReport, backfill
from undertow.backfill.known_table import known_of_job
from undertow.backfill.observed import find_observations
from undertow.backfill.pieces import in_pieces
from undertow.backfill.reject_counts import no_window
from undertow.core.stop_signals import ended_by_signals
from undertow.observations.windowed import explain_none
from undertow.ray_session.session import ray_session
from undertow.schemas.wording import are, counted
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.telemetry.logs import mask_last_resort
from undertow.wiring.recipes import EmbedRecipe, embed_recipes, require_applied_log, with_log
from undertow.wiring.root import open_embed
from undertow.wiring.secrets import mask_of_embedding
from undertow.wiring.stores import check_online, open_online

RESUMES = "what is done is kept: run the same backfill again to go on"


def run(
    settings: Settings, history: AnyPath, console: Console, *, job: str | None = None
) -> tuple[BackfillReport, ...]:
    """Embed what was not embedded yet, by one artifact after another; return a report of each.

    Raises `Refused` before anything starts where a part is missing. A job is named after its file or folder unless it
    is given a name: the same name goes on where it was stopped.
    """
    artifacts = embed_recipes(settings)
    for embed in artifacts:
        require_applied_log(embed)
        check_online(embed.online)
        # Whether the files can hold windows is seen before Ray is started, which takes seconds.
        contract = embed.manifest.contract
        if find_observations(history, settings.windows, contract) is None:
            cut(history, contract, space="", chunk_rows=settings.backfill.chunk_rows, digest_of=lambda _: "")
    artifacts = tuple(with_log(settings, embed) for embed in artifacts)
    with ray_session(settings.fleet, replicas=settings.backfill.replicas), ended_by_signals(RESUMES):
        return tuple(_run_one(settings, embed, history, console, job) for embed in artifacts)


def _run_one(
    settings: Settings, embed: EmbedRecipe, history: AnyPath, console: Console, job: str | None
) -> BackfillReport:
    recipe = BackfillRecipe(
        history=history.absolute(),
        contract=embed.manifest.contract,
        view=embed.manifest.view(),
        offline=embed.offline,
        times=settings.kafka.event_time.at(time.time()),
        job=job or re.sub(r"[^A-Za-z0-9._-]+", "-", history.absolute().stem).lstrip("-._") or "history",
    )
    if find_observations(recipe.history, settings.windows, recipe.contract) is None:
        return _shown(settings, embed, recipe, console)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    say(f"{history} holds observations: windows are made of them, as the section windows of the settings says")
    with known_of_job(recipe, settings, say) as known:
        observed = find_observations(recipe.history, settings.windows, recipe.contract, known)
        assert observed is not None  # noqa: S101 as above
        with in_pieces(recipe, observed, settings) as of_pieces:
            return _shown(settings, embed, of_pieces, console)


def _shown(settings: Settings, embed: EmbedRecipe, recipe: BackfillRecipe, console: Console) -> BackfillReport:
    """Run with a progress bar, and say what was done."""
    columns = (
        TextColumn(f"backfill {recipe.view.view}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks · {task.fields[windows]:,} windows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("backfill", total=None, windows=0)
        report = backfill(
            recipe,
            partial(_open_tools, embed),
            settings=settings.backfill,
            num_cpus=settings.fleet.num_cpus,
            num_gpus=settings.fleet.num_gpus,
            on_progress=lambda done, total, windows: bar.update(task, completed=done, total=total, windows=windows),
            tell=lambda text: bar.console.print(text, soft_wrap=True, markup=False, highlight=False),
        )
    for line in tell(report, recipe):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return report


def tell(report: BackfillReport, recipe: BackfillRecipe) -> Iterator[str]:
    """Yield what a person must know of a run: what was done, why rows were refused, and where they are listed."""
    counts = report.counts
    yield (
        f"{recipe.view.view}: {counted(counts.windows, 'window')} embedded in {report.seconds:.1f} s, "
        f"{counts.rejects.total:,} rejected, {counted(report.chunks, 'chunk')}, {report.skipped:,} of them done before"
    )
    longest = counts.longest.steps
    if recipe.observed is not None and longest < recipe.observed.plan.min_length and not report.skipped:
        yield no_window(explain_none(recipe.observed.plan, longest), counts.rejects)
    yield from (f"not done: {fault}" for fault in report.faults.values())
    if report.faults:
        yield (
            f"{counted(len(report.faults), 'file')} {are(len(report.faults))} not done, or not whole: mend or "
            "remove them, and run the same again"
        )
    if counts.odd_times:
        yield f"{counts.odd_times:,} of the windows have event times before 1990 or after next year"
    if counts.rejects.total:
        yield str(counts.rejects)
    if report.refused_before:
        yield f"{report.refused_before} of the chunks done before hold refused rows"
    if counts.rejects.total or report.refused_before:
        yield (
            f"all refused rows are listed in {recipe.rejects}; a mended file is new history to the same job, "
            "other settings need another one: --job NAME"
        )


def _open_tools(recipe: EmbedRecipe) -> BackfillTools:
    """Build the tools inside an actor. Raises `Refused` where its node does not see the log."""
    mask_last_resort(mask_of_embedding(recipe))
    if recipe.log is not None:
        recipe.log.require()
    return BackfillTools(embed=open_embed(recipe), online=open_online(recipe.online))

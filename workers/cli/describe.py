"""`undertow describe`: show what an artifact takes and gives.

In: arguments. Out: text, exit codes. Knows no rule; heavy imports are inside the command.
"""

from pathlib import Path

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import LocalPathType


@click.command()
@click.argument("artifact", required=False, type=LocalPathType())
@click.option("--code", multiple=True, help="Package from which the model's class may be imported; adds to model.code.")
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@settings_options
def describe(overrides: tuple[str, ...], artifact: Path | None, code: tuple[str, ...], *, as_json: bool) -> None:
    """Show what an artifact takes and gives.

    That is: the columns of its windows, its features and what they depend on, its certificate, a sample window. The
    artifact is also loaded, as in a replica, and all warnings are shown with their details.

    \b
    undertow describe artifact
    """
    from undertow.commands.describe import describe as show
    from undertow.settings.artifact_paths import only
    from undertow.settings.settings import load
    from undertow.telemetry.terminal import Terminal

    settings = load(overrides).model
    model = settings.model_copy(update={"code": (*settings.code, *code)})
    show(artifact or only(settings.artifacts), model, Terminal(), as_json=as_json)

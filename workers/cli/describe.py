"""`undertow describe`: what an artifact says of itself.

In: arguments. Out: text, exit codes. Knows no rule; what is heavy is imported inside.
"""

from pathlib import Path

import click

from undertow.cli.options import settings_options
from undertow.cli.paths import LocalPathType


@click.command()
@click.argument("artifact", required=False, type=LocalPathType())
@click.option("--code", multiple=True, help="Package that the artifact may name; as well as model.code.")
@click.option("as_json", "--json", is_flag=True, help="Print JSON, for programs.")
@settings_options
def describe(overrides: tuple[str, ...], artifact: Path | None, code: tuple[str, ...], *, as_json: bool) -> None:
    """Show what an artifact takes and gives: windows, features and what they see, its certificate, a sample window.

    It is also loaded, as a replica would, and what that says is shown in whole.

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

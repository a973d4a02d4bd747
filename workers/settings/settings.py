"""Load the settings.

In: command-line values, environment, `undertow.toml`, defaults, in this order of precedence. Out: a frozen `Settings`,
of which each room receives its own section. Knows no client, no model and no store.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from undertow.core.errors import Refused, WrongUsage
from undertow.core.extras import require_extras
from undertow.core.masking import is_secret, masked, secrets_in
from undertow.core.toml_files import read_toml
from undertow.settings.broker_names import require_topic
from undertow.settings.log_sections import OfflineSettings, StoreSettings
from undertow.settings.sections import (
    OF_REJECTS,
    BackfillSettings,
    FeastSettings,
    FleetSettings,
    KafkaSettings,
    ModelSettings,
)
from undertow.settings.windows_section import WindowsSettings
from undertow.storage.store_path import AnyPath, StorePath

TOML = "undertow.toml"
PREFIX, SEPARATOR = "UNDERTOW_", "__"
"""The variable UNDERTOW_KAFKA__TOPIC sets the key `topic` of the section `kafka`."""


class Settings(BaseSettings):
    """All settings, read once by the command line."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter=SEPARATOR)

    kafka: KafkaSettings = KafkaSettings()
    model: ModelSettings = ModelSettings()
    feast: FeastSettings = FeastSettings()
    offline: OfflineSettings = OfflineSettings()
    store: StoreSettings = StoreSettings()
    fleet: FleetSettings = FleetSettings()
    backfill: BackfillSettings = BackfillSettings()
    windows: WindowsSettings = WindowsSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest level of log lines that are written."""
    log_format: Literal["text", "json"] = "text"
    """The format of log lines: `text` for people, `json` for one object per line."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Give flags precedence over the environment, and that over the TOML file."""
        del dotenv_settings, file_secret_settings
        in_file = read_toml(Path(TOML)) if Path(TOML).exists() else {}
        return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    @model_validator(mode="after")
    def _known_apart(self) -> "Settings":
        if self.windows.known_topic == self.kafka.topic:
            message = (
                "windows.known_topic must be another topic than kafka.topic: what is known ahead is no observation, "
                "and its times are still to come"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _dead_letters_apart(self) -> "Settings":
        source = self.kafka.topic.removesuffix(OF_REJECTS)
        if not self.kafka.dead_letters and source != self.kafka.topic:
            message = (
                f"kafka.topic = {self.kafka.topic} has the name of the dead-letter topic of {source or 'no topic'}, "
                "whose records would be refused once more, and a window that is sent there is read by nobody: undertow "
                f"replay --send sends dead letters again, to kafka.topic = {source or 'windows'}. If yours is no such "
                "topic, set kafka.dead_letters"
            )
            raise ValueError(message)
        if self.kafka.dead_letter_topic == self.kafka.topic:
            message = (
                "kafka.dead_letters must be another topic than kafka.topic, or rejects would be read again; undertow "
                "replay --send sends them again"
            )
            raise ValueError(message)
        try:
            require_topic(self.kafka.dead_letter_topic)
        except ValueError as error:
            message = f"kafka.dead_letters, which is the topic's name and .rejects unless it is set: {error}"
            raise ValueError(message) from error
        return self


def load(overrides: Iterable[str] = ()) -> Settings:
    """Resolve the settings. `overrides` are `section.key=value`; a value that is not valid TOML is taken as a string.

    Raises `Refused` with all faults, each with its key: `WrongUsage` where all are of `overrides`.
    """
    _refuse_strange_sections()
    _refuse_strange_file(Path(TOML))
    flags: dict[str, Any] = {}
    for override in overrides:
        path, separator, text = override.partition("=")
        *sections, key = path.strip().split(".")
        if not separator or not key:
            # The message does not repeat the text, which may hold a secret.
            found = "no = sign" if not separator else "no key before the = sign"
            message = f"--set takes section.key=value, for example kafka.topic=windows; found {found} in one of them"
            raise WrongUsage(message)
        section = flags
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                message = f"--set gives {name} both a value and keys of its own: {path}"
                raise WrongUsage(message)
        section[key] = _value(text)
        if is_secret(path) or list(secrets_in({path: section[key]})):
            raise WrongUsage(_not_by_flag(path.strip()))
    try:
        return _with_store(Settings(**flags))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        kind = WrongUsage if _are_of_flags(faults, flags) else Refused
        raise kind("; ".join(map(_told, faults))) from None
    except SettingsError as error:
        found = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        message = f"""tables stand in the environment as JSON, as UNDERTOW_KAFKA__EXTRA='{{"retries": 3}}'; {found}"""
        raise Refused(message) from error
    except (ValueError, RecursionError) as error:
        message = f"UNDERTOW_... is not valid JSON: {error}"
        raise Refused(message) from error


def _with_store(settings: Settings) -> Settings:
    """Let paths in a store, and Feast's registry, know how it is reached: whoever has one needs no other section."""
    artifacts = tuple(reached(path, settings, "model.artifact") for path in settings.model.artifacts)
    model = {"artifact": artifacts if isinstance(settings.model.artifact, tuple) else artifacts[0]}
    offline = {"path": reached(settings.offline.path, settings, "offline.path")}
    return settings.model_copy(
        update={
            "feast": settings.feast.reached_by(settings.store),
            "offline": settings.offline.model_copy(update=offline),
            "model": settings.model.model_copy(update=model),
        }
    )


def reached(path: AnyPath, settings: Settings, named: str) -> AnyPath:
    """Return the path with the options by which its store is reached. Raises `Refused` without the extra for stores.

    `named` is where a person gave it.
    """
    if not isinstance(path, StorePath):
        return path
    require_extras(f"{named} = {path}", "store")
    return StorePath(path.bucket, path.key, settings.store.options())


def _are_of_flags(faults: Sequence[ErrorDetails], flags: Mapping[str, Any]) -> bool:
    """Whether all faults are of these flags: of one value of theirs, or not there without them.

    A fault of several values, or of a whole section, has the section's place, which flags and the file may share.
    """
    others = {fault["loc"] for fault in faults if not _is_given(fault, flags)}
    if others:
        try:
            Settings()
        except ValidationError as error:
            return not others & {fault["loc"] for fault in error.errors(include_url=False)}
    return True


def _is_given(fault: ErrorDetails, flags: Mapping[str, Any]) -> bool:
    """Whether the value of a fault is of these flags."""
    found: Any = flags
    for name in fault["loc"]:
        if not isinstance(found, Mapping):
            break  # inside a value
        if name not in found:
            return False
        found = found[str(name)]
    return not isinstance(found, Mapping)


def _told(fault: ErrorDetails) -> str:
    """Describe a fault: what was expected and found (unless secret); for an unknown key, the closest one."""
    path, text = ".".join(map(str, fault["loc"])) or "settings", fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        *sections, name = map(str, fault["loc"])
        model: Any = Settings
        for section in sections:
            model = model.model_fields[section].annotation
        close = difflib.get_close_matches(name, model.model_fields, n=1)
        meant = f"did you mean {'.'.join([*sections, *close])}?" if close else "undertow check shows all that there are"
        return f"{path}: there is no such setting: {meant}"
    found = fault["input"]
    if text.startswith(f"{path}."):
        return text  # of a section that was checked whole, it names the key
    if fault["type"] == "value_error" or is_secret(path) or not isinstance(found, str | int | float):
        return f"{path}: {text}"
    return f"{path}: {text}, found {masked(path, found)!r:.60}"


def _refuse_strange_sections() -> None:
    """Raise `Refused` for a variable such as UNDERTOW_KAFAK__TOPIC, which pydantic would ignore silently."""
    sections = {name for name in Settings.model_fields if not name.startswith("log_")}
    for variable in os.environ:
        section, separator, _ = variable.lower().removeprefix(PREFIX.lower()).partition(SEPARATOR)
        if variable.upper().startswith(PREFIX) and separator and section not in sections:
            close = difflib.get_close_matches(section, sections, n=1)
            meant = f"did you mean {PREFIX}{close[0].upper()}{SEPARATOR}...?" if close else f"one of {sorted(sections)}"
            message = f"the environment has {variable}, but there is no section {section!r} of settings ({meant})"
            raise Refused(message)


def _refuse_strange_file(path: Path) -> None:
    """Raise `Refused` for what would be passed over (a folder, for instance), or waited for."""
    if not os.path.lexists(path):
        return
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            message = f"expected a file with settings at {path}, found a folder, a pipe or a device"
            raise Refused(message)
    except OSError as error:
        message = f"expected a file with settings at {path}: {error.strerror}"
        raise Refused(message) from error


def _not_by_flag(path: str) -> str:
    first, _, rest = path.partition(".")
    variable = f"{PREFIX}{first}{SEPARATOR}{rest.split('.')[0]}".upper()
    file = "" if rest not in _WITH_FILES else f", or name a file that holds it: --set {path}_file=/run/secrets/..."
    return (
        f"{path} is a secret, and a command line can be read by every user of the machine: "
        f"set {variable} in the environment, put it into {TOML}{file}"
    )


_WITH_FILES = ("password", "key_password", "registry_credentials", "secret_access_key")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # not TOML, or a number with more digits than Python reads
        return text

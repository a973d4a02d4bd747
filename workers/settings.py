"""The one settings object: where everything is and how much of it there may be.

In: command-line values, environment, `undertow.toml`, defaults, in this order of precedence. Out: a frozen `Settings`.
Each room receives its own section. Knows no client, no model and no store.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from workers.core.errors import Refused

TOML = "undertow.toml"
PREFIX, SEPARATOR = "UNDERTOW_", "__"
"""UNDERTOW_KAFKA__TOPIC is the key `topic` of the section `kafka`."""


class Section(BaseModel):
    """A frozen section; a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Section):
    """The broker, the topic, and how much one poll may bring."""

    OWNED: ClassVar[frozenset[str]] = frozenset(
        {
            *("bootstrap_servers", "group_id", "enable_auto_commit", "auto_offset_reset", "max_poll_records"),
            *("check_crcs", "isolation_level", "allow_auto_create_topics"),
        }
    )

    bootstrap: str = "127.0.0.1:9092"
    """`host:port`, several separated by commas."""
    topic: str = "windows"
    group: str = "undertow"
    """Offsets are committed here for lag tools; nobody may be subscribed to it."""
    dead_letters: str = ""
    """Topic for rejects; empty means `<topic>.rejects`."""
    format: Literal["json", "arrow", "avro", "avro-confluent"] = "json"
    """What records are written in: `arrow` is many windows in one record, `avro` one of `schemas/window.v1.avsc`,
    `avro-confluent` one behind the id of its schema in the registry. Both Avros need `undertow[avro]`."""
    registry: str = ""
    """URL of the schema registry, for `avro-confluent`."""
    registry_extra: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Handed to confluent-kafka's registry client untouched: credentials, TLS. Not in our repr."""
    max_poll_records: int = Field(default=512, ge=1)
    """What one poll brings at most; with `arrow` these are so many times the windows of a record."""
    max_record_bytes: int = Field(default=1 << 20, ge=1)
    """Larger records are rejected undecoded."""
    password: SecretStr | None = None
    """Passed as `sasl_plain_password`; set it by environment or secret file, never by flag."""
    extra: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Handed to kafka-python untouched: TLS, SASL, timeouts. Not in our repr: it may hold passwords."""

    @property
    def dead_letter_topic(self) -> str:
        """The topic rejects go to."""
        return self.dead_letters or f"{self.topic}.rejects"

    @field_validator("extra")
    @classmethod
    def _no_clash(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if clash := sorted(cls.OWNED & extra.keys()):
            message = f"kafka.extra must not set {', '.join(clash)}: delivery depends on them"
            raise ValueError(message)
        return extra

    @model_validator(mode="after")
    def _registry_is_named(self) -> "KafkaSettings":
        if self.format == "avro-confluent" and not self.registry:
            message = "kafka.format = avro-confluent needs the registry's URL: kafka.registry=http://host:8081"
            raise ValueError(message)
        if "@" in self.registry:
            message = (
                "kafka.registry is shown in messages: credentials go to kafka.registry_extra, basic.auth.user.info"
            )
            raise ValueError(message)
        return self

    def client_options(self) -> dict[str, Any]:
        """Options that every client of this broker takes."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap.split(","), **self.extra}
        if self.password is not None:
            options["sasl_plain_password"] = self.password.get_secret_value()
        return options


class ModelSettings(Section):
    """The artifact and where it runs."""

    artifact: Path = Path("artifact")
    """The folder that `undertow pack` wrote."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    threads: int = Field(default=1, ge=1)
    """Threads of one replica's forward."""
    code: tuple[str, ...] = ()
    """Top-level packages that an artifact of a plain module may name; they are imported, so list what you trust."""

    run_compiled: bool = False
    """Run the native code that `undertow pack --compile` kept in the artifact. Say so only of what you trust."""

    @field_validator("code")
    @classmethod
    def _top_level(cls, code: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in code if not name.isidentifier()]:
            message = f"expected top-level packages, such as mypackage of mypackage.nets, found {', '.join(wrong)}"
            raise ValueError(message)
        return code


class FeastSettings(Section):
    """The Feast repository; the online store is whatever its YAML says."""

    repo: Path = Path("feature_repo")
    config: str = "feature_store.yaml"
    """File name inside `repo`; `feature_store.redis.yaml` keeps the online store in Redis."""


class OfflineSettings(Section):
    """The history of embeddings, which is also the record of progress."""

    path: Path = Path(".undertow/offline")
    enabled: bool = True
    """Without it Kafka's committed offset is the record of progress, moved after the online write."""
    checkpoint_seconds: float = Field(default=2.0, gt=0)
    checkpoint_rows: int = Field(default=20_000, ge=1)


class FleetSettings(Section):
    """How many replicas, and what each may use."""

    name: str = "undertow"
    address: str = "local"
    """Ray's address: `local` starts a Ray of its own, `auto` joins the running one, else `ray://...` or `host:port`."""
    replicas: int = Field(default=2, ge=1)
    standbys: int = Field(default=0, ge=0)
    """So many more are loaded and read nothing until another dies: then they take over at once."""
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=0, ge=0)
    """Above 0 the size follows the lag, within these two, from `replicas` on; no larger than there are partitions."""
    catch_up_seconds: float = Field(default=60.0, gt=0)
    """An autoscaled fleet is as large as it takes to work its lag off in so long, beside what arrives."""
    scale_up_seconds: float = Field(default=10.0, ge=0)
    """More must have been needed for so long before it grows..."""
    scale_down_seconds: float = Field(default=300.0, ge=0)
    """...and fewer for so long, with a fifth to spare, before it shrinks, by one."""
    look_for_partitions_seconds: float = Field(default=10.0, gt=0)
    """How often a running fleet asks the broker whether the topic has more partitions, or is another one."""
    force: bool = False
    """Start even where another fleet reads this topic under this group: both do all the work, readers see it once."""
    num_cpus: float = Field(default=1.0, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)
    heartbeat_timeout_seconds: float = Field(default=10.0, gt=0)
    """A replica that answers no heartbeat for so long is replaced."""
    drain_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a drain waits for a store that does not answer; what was not written is read again by the next run."""

    @model_validator(mode="after")
    def _size_within_limits(self) -> "FleetSettings":
        if self.max_replicas and not self.min_replicas <= self.replicas <= self.max_replicas:
            message = (
                "expected min_replicas <= replicas <= max_replicas, found "
                f"{self.min_replicas}, {self.replicas}, {self.max_replicas}"
            )
            raise ValueError(message)
        return self


class BackfillSettings(Section):
    """How history is cut and how wide it runs."""

    chunk_rows: int = Field(default=5_000, ge=1)
    replicas: int = Field(default=2, ge=1)


class Settings(BaseSettings):
    """Everything that can be set, read once in the command line."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter=SEPARATOR, toml_file=TOML
    )

    kafka: KafkaSettings = KafkaSettings()
    model: ModelSettings = ModelSettings()
    feast: FeastSettings = FeastSettings()
    offline: OfflineSettings = OfflineSettings()
    fleet: FleetSettings = FleetSettings()
    backfill: BackfillSettings = BackfillSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look at flags first, then at the environment, then at the TOML file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _dead_letters_apart(self) -> "Settings":
        if self.kafka.dead_letter_topic == self.kafka.topic:
            message = "kafka.dead_letters must be another topic than kafka.topic, or rejects would be read again"
            raise ValueError(message)
        return self


def load(overrides: Iterable[str] = ()) -> Settings:
    """Resolve the settings; `overrides` are `section.key=value`, the value as TOML or else as a plain string.

    Raises `Refused` with every fault, each with the key that it concerns.
    """
    _refuse_strange_sections()
    flags: dict[str, Any] = {}
    for override in overrides:
        path, separator, text = override.partition("=")
        *sections, key = path.strip().split(".")
        if not separator or not key:
            message = f"--set takes section.key=value, for example kafka.topic=windows; found {override!r}"
            raise Refused(message)
        section = flags
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                message = f"--set gives {name} both a value and keys of its own: {path}"
                raise Refused(message)
        section[key] = _value(text)
    try:
        return Settings(**flags)
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise Refused("; ".join(faults)) from None
    except SettingsError as error:
        found = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        message = f"""tables stand in the environment as JSON, as UNDERTOW_KAFKA__EXTRA='{{"retries": 3}}'; {found}"""
        raise Refused(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{TOML} is not valid TOML: {error}"
        raise Refused(message) from error


def _refuse_strange_sections() -> None:
    """Raise `Refused` for UNDERTOW_KAFAK__TOPIC: pydantic would pass over it in silence."""
    sections = {name for name in Settings.model_fields if name != "log_level"}
    for variable in os.environ:
        section, separator, _ = variable.lower().removeprefix(PREFIX.lower()).partition(SEPARATOR)
        if variable.upper().startswith(PREFIX) and separator and section not in sections:
            close = difflib.get_close_matches(section, sections, n=1)
            meant = f"did you mean {PREFIX}{close[0].upper()}{SEPARATOR}...?" if close else f"one of {sorted(sections)}"
            message = f"the environment has {variable}, but there is no section {section!r} of settings ({meant})"
            raise Refused(message)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text

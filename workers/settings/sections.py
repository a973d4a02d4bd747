"""The sections of the settings; each room receives its own.

In: values that `undertow.settings.settings` has found. Out: frozen sections; an unknown key is an error. Knows no
client, no model and no store.

The docstring below a field is its reference, which `undertow settings` shows.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from undertow.core.durations import parse_microseconds
from undertow.core.masking import secrets_in
from undertow.schemas.event_times import EventTimes
from undertow.schemas.times import EPOCH
from undertow.settings.artifact_paths import Paths, parse_paths, shown_paths
from undertow.settings.broker_names import BootstrapServers, FleetName, Topic
from undertow.settings.kafka_security import KafkaSecurity, Section, read_secret, secret_or_nothing
from undertow.settings.local_paths import LocalPath, require_local
from undertow.settings.log_sections import KnowsStore
from undertow.settings.registry_files import require_registry_files
from undertow.storage.store_path import AnyPath

OF_REJECTS = ".rejects"
"""How the name of a dead-letter topic ends, behind that of its source, unless `kafka.dead_letters` names another."""
MOST_REPLICAS = 1_000
"""Each is a process with a model, which the one controller asks ten times a second. A choice: more is a slip."""


class EventTimeSettings(Section):
    """Which event times are accepted, in the stream and in history (`backfill`, `produce`)."""

    min: AwareDatetime = datetime(1980, 1, 1, tzinfo=UTC)
    """Windows with an earlier event time are rejected. Usually such a time is in seconds or milliseconds where
    microseconds are expected."""
    max_ahead: timedelta = Field(default=timedelta(days=1), ge=timedelta(0))
    """How far an event time may be ahead of the replica's clock; windows with a later one are rejected, since they
    would stay the newest of their series online. A duration, or a number of seconds."""

    @field_validator("max_ahead", mode="before")
    @classmethod
    def _as_durations_are_written(cls, given: object) -> object:
        """Take `1h` as well as what pydantic knows."""
        try:
            return timedelta(microseconds=parse_microseconds(given)) if isinstance(given, str) else given
        except ValueError:
            return given

    def at(self, now_s: float) -> EventTimes:
        """Return the limits at the time `now_s`, in seconds since the epoch."""
        us = timedelta(microseconds=1)
        return EventTimes.at(now_s, min_us=(self.min - EPOCH) // us, max_ahead_us=self.max_ahead // us)


class KafkaSettings(KafkaSecurity):
    """The broker and the login, the topic, the wire format, and the size of batches."""

    OWNED: ClassVar[frozenset[str]] = frozenset(
        {
            *("bootstrap_servers", "group_id", "enable_auto_commit", "auto_offset_reset", "max_poll_records"),
            *("check_crcs", "isolation_level", "allow_auto_create_topics"),
        }
    )

    bootstrap: BootstrapServers = "127.0.0.1:9092"
    """`host:port`, several separated by commas."""
    topic: Topic = "windows"
    """The topic from which windows, or observations, are read."""
    content: Literal["windows", "observations"] = "windows"
    """What records hold. `observations`: rows with the ids, the time and the values of the section `windows`, of which
    replicas make windows: in `json` an object for each, or a list of them; in `arrow` a row for each; in `avro` an
    array of records; in `avro-confluent` a record, or an array of them."""
    group: str = "undertow"
    """The consumer group under which offsets are committed, so that lag tools work. It must have no members: partitions
    are assigned by the fleet's controller."""
    dead_letters: Topic = ""
    """The dead-letter topic for rejects; empty means `<topic>.rejects`."""
    format: Literal["json", "arrow", "avro", "avro-confluent"] = "json"
    """The wire format of records. `json` and `avro` hold one window each (`schemas/window.v1.schema.json`,
    `schemas/window.v1.avsc`), `avro-confluent` is Avro preceded by its schema's id in a registry, `arrow` holds many
    windows. Both Avro formats need `undertow[avro]`."""
    registry: str = ""
    """URL of the schema registry, for `avro-confluent`."""
    registry_extra: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Options passed unchanged to confluent-kafka's registry client, such as TLS and bearer tokens."""
    registry_credentials: SecretStr | None = None
    """The login to the registry, as `user:password`; set it by environment or file, never by flag."""
    registry_credentials_file: LocalPath | None = None
    """A file with the login to the registry, such as a mounted secret."""
    max_batch: int = Field(default=256, ge=1)
    """The most windows in one batch; a record of many windows (`arrow`) is never split. On a GPU set it to thousands: a
    forward of 1,024 windows was seen to take as long as one of 64 (`tests/bench/README.md`)."""
    max_delay_ms: float = Field(default=0.0, ge=0, le=1000)
    """How long an incomplete batch waits for more windows. With 0 a batch holds what arrived while the one before was
    embedded: it is small at low load, full at high load. 2 to 5 ms help where a forward of one window takes as long as
    one of many, as on a GPU."""
    max_record_bytes: int = Field(default=1 << 20, ge=1)
    """Larger records are rejected without being decoded."""
    max_unpacked_bytes: int = Field(default=64 << 20, ge=1 << 10)
    """The largest decompressed size of a record batch; a larger one is skipped: reported, counted as lost, and written
    to the dead letters as it is."""
    max_poll_bytes: int = Field(default=256 << 20, ge=1 << 10)
    """The most bytes that one poll decompresses; its remaining record batches wait for the next poll."""
    event_time: EventTimeSettings = EventTimeSettings()

    @property
    def dead_letter_topic(self) -> str:
        """The topic to which rejects are written."""
        return self.dead_letters or f"{self.topic}{OF_REJECTS}"

    @field_validator("extra")
    @classmethod
    def _no_clash(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if clash := sorted(cls.OWNED & extra.keys()):
            message = f"kafka.extra must not set {', '.join(clash)}: the delivery guarantees depend on them"
            raise ValueError(message)
        return extra

    @model_validator(mode="after")
    def _registry_is_named(self) -> "KafkaSettings":
        if self.format == "avro-confluent" and not self.registry:
            message = "kafka.format = avro-confluent needs the registry's URL: kafka.registry=http://host:8081"
            raise ValueError(message)
        logins = (
            self.registry_credentials,
            self.registry_credentials_file,
            self.registry_extra.get("basic.auth.user.info"),
        )
        if sum(login is not None for login in logins) > 1:
            message = (
                "the registry's login is set more than once: keep one of kafka.registry_credentials, "
                "kafka.registry_credentials_file and basic.auth.user.info in kafka.registry_extra"
            )
            raise ValueError(message)
        if "@" in self.registry:
            message = (
                "kafka.registry is shown in messages: credentials go to UNDERTOW_KAFKA__REGISTRY_CREDENTIALS, "
                "or into the file kafka.registry_credentials_file, as user:password"
            )
            raise ValueError(message)
        return self

    def client_options(self) -> dict[str, Any]:
        """Return kafka-python's options for every client of this broker. Raises `Refused` if a file cannot be read."""
        return {"bootstrap_servers": self.bootstrap.split(","), **self.login_options(), **self.extra}

    def secrets(self) -> list[str]:
        """Return the secrets that must be masked in any text about this broker, or the registry."""
        login = "" if self.registry_credentials is None else self.registry_credentials.get_secret_value()
        if self.registry_credentials_file is not None:
            login = secret_or_nothing(self.registry_credentials_file)
        return [*super().secrets(), *secrets_in(self.registry_extra), *secrets_in({"login.user.info": login})]

    def registry_options(self) -> dict[str, Any]:
        """Return the options of the registry's client. Raises `Refused` if a file cannot be read."""
        login: dict[str, Any] = {}
        if self.registry_credentials is not None:
            login["basic.auth.user.info"] = self.registry_credentials.get_secret_value()
        elif self.registry_credentials_file is not None:
            file = self.registry_credentials_file
            login["basic.auth.user.info"] = read_secret(file, "kafka.registry_credentials_file")
        require_registry_files(self.registry_extra)
        return {**self.registry_extra, **login, "url": self.registry}


class ModelSettings(Section):
    """The artifacts, and how their models run."""

    artifact: Annotated[Paths, NoDecode, PlainValidator(parse_paths), PlainSerializer(shown_paths)] = Path("artifact")
    """The artifact's folder, as `undertow pack` wrote it, also as an address: `s3://bucket/folder`, `gs://...`, `az://...`
    (see the section `store`); or a list, `["a", "b"]`, which one fleet serves together."""
    device: str = "auto"
    """Where the model runs: auto, cpu, cuda, cuda:1, ... `auto` is the first GPU visible to the process, or else the
    CPU."""
    threads: int = Field(default=1, ge=1)
    """How many threads a forward uses in one replica, and in `undertow pack` and `undertow taps`."""
    max_embed_seconds: float = Field(default=300.0, gt=0)
    """A replica whose model takes longer for one batch is considered hung and is replaced; the record that causes it is
    found and rejected (`hangs`). Must exceed the time of the first batch, which may compile or wait for a GPU."""
    code: tuple[str, ...] = ()
    """Top-level packages from which an artifact's own model class may be imported. Importing runs their code, so list
    only packages that you trust."""
    run_compiled: bool = False
    """Whether to run the native code that `undertow pack --compile` put into the artifact. Only for artifacts that you
    trust."""

    @property
    def artifacts(self) -> tuple[AnyPath, ...]:
        """All artifacts, one or more."""
        return self.artifact if isinstance(self.artifact, tuple) else (self.artifact,)

    @field_validator("code")
    @classmethod
    def _top_level(cls, code: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in code if not name.isidentifier()]:
            message = f"expected top-level packages, such as mypackage of mypackage.nets, found {', '.join(wrong)}"
            raise ValueError(message)
        return code


class FeastSettings(KnowsStore):
    """The Feast repository. Its YAML decides which online store is used."""

    repo: LocalPath = Path("feature_repo")
    """The folder of the Feast repository; `undertow init` creates one."""
    config: Annotated[str, BeforeValidator(require_local)] = "feature_store.yaml"
    """The name of Feast's configuration file inside `repo`; `feature_store.redis.yaml` has Redis
    as online store, `feature_store.postgres.yaml` Postgres with pgvector."""
    replace_alien_keys: bool = False
    """Whether to delete a value in Redis that is at the key of a series but is not a hash, so not written by Feast. If
    false, it stays, the series is written to the offline log only, and a warning names the key."""


class FleetSettings(Section):
    """How many replicas a fleet has, what each may use, and when it is replaced or stopped."""

    name: FleetName = "undertow"
    """The name by which `status`, `scale`, `drain` and `run` find the fleet in its Ray cluster."""
    address: str = "local"
    """Ray's address: `local` starts a Ray for this fleet, `auto` joins one that runs here, `host:port` or `ray://...`
    joins a cluster."""
    replicas: int = Field(default=2, ge=1, le=MOST_REPLICAS)
    """How many replicas read at the start; `undertow scale` changes it. More than the topic has partitions read
    nothing."""
    standbys: int = Field(default=0, ge=0, le=MOST_REPLICAS)
    """How many additional replicas are loaded but read nothing, until they take over from one that died."""
    min_replicas: int = Field(default=1, ge=1, le=MOST_REPLICAS)
    """The smallest size of an autoscaled fleet."""
    max_replicas: int = Field(default=0, ge=0, le=MOST_REPLICAS)
    """Above 0, the fleet is autoscaled: its size follows the lag, from `min_replicas` to this, starting at `replicas`,
    and is at most the number of partitions."""
    catch_up_seconds: float = Field(default=60.0, gt=0)
    """An autoscaled fleet is sized so that it processes its lag within this time, besides new records."""
    scale_up_seconds: float = Field(default=10.0, ge=0)
    """How long more replicas must be needed before an autoscaled fleet grows."""
    scale_down_seconds: float = Field(default=300.0, ge=0)
    """How long fewer replicas must suffice, with a fifth to spare, before an autoscaled fleet shrinks by one."""
    look_for_partitions_seconds: float = Field(default=10.0, gt=0)
    """Seconds between questions to the broker whether partitions were added, or the topic was created anew."""
    force: bool = False
    """Whether to start even if another fleet reads this topic under this group. Both then do all the work; readers see
    every vector once."""
    num_cpus: float = Field(default=1.0, ge=0)
    """CPUs that Ray reserves for each replica, which limits how many run on a node."""
    num_gpus: float = Field(default=0.0, ge=0)
    """GPUs that Ray reserves for each replica, such as 0.25 if four share one. With 0 every replica sees all GPUs of
    its node, and `model.device = auto` takes the first: fine for one GPU, but several are not all used."""
    heartbeat_timeout_seconds: float = Field(default=10.0, gt=0)
    """A replica that has not answered a heartbeat for this long is replaced."""
    drain_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a drain waits for a store that is unavailable. What could not be written is read again by the next
    run."""
    max_reject_ratio: float | None = Field(default=None, ge=0, lt=1)
    """The fleet stops when the share of rejected records, over the last `reject_window_seconds`, is larger; not set
    means never."""
    reject_window_seconds: float = Field(default=60.0, gt=0)
    """The time over which the reject ratio is computed."""
    reject_window_records: int = Field(default=1_000, ge=1)
    """With fewer records in that time the reject ratio is not evaluated."""

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
    """How history is split into chunks, and how many are embedded at once."""

    chunk_rows: int = Field(default=5_000, ge=1)
    """Rows in a chunk, which is embedded and written as a whole. A job keeps the value with which it began."""
    replicas: int = Field(default=2, ge=1)
    """How many Ray actors embed at once."""

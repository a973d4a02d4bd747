"""The sections of the settings: each room receives its own.

In: values that `undertow.settings.settings` has found. Out: frozen sections, a key they do not know being an error.
Knows no client, no model and no store.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, PlainValidator, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from undertow.schemas.event_times import EventTimes
from undertow.schemas.times import EPOCH
from undertow.settings.artifact_paths import Paths, parse_paths
from undertow.settings.broker_names import BootstrapServers, FleetName, Topic
from undertow.settings.kafka_security import KafkaSecurity, Section, read_secret
from undertow.settings.local_paths import LocalPath, require_local
from undertow.settings.registry_files import require_registry_files


class EventTimeSettings(Section):
    """Which event times are accepted. The same holds for history (`backfill`, `produce`)."""

    min: AwareDatetime = datetime(1980, 1, 1, tzinfo=UTC)
    """Earlier ones are rejected: they are seconds or milliseconds where microseconds are expected."""
    max_ahead: timedelta = Field(default=timedelta(days=1), ge=timedelta(0))
    """How far ahead of the replica's clock one may be: a later one would stay the newest of its series online. Such as
    `PT1H`, `P1D`, `P3650D`, or a number of seconds."""

    def at(self, now_s: float) -> EventTimes:
        """Return what is taken at a moment, in seconds since the epoch."""
        us = timedelta(microseconds=1)
        return EventTimes.at(now_s, min_us=(self.min - EPOCH) // us, max_ahead_us=self.max_ahead // us)


class KafkaSettings(KafkaSecurity):
    """The broker, how to log in there, the topic, and how much one poll may bring."""

    OWNED: ClassVar[frozenset[str]] = frozenset(
        {
            *("bootstrap_servers", "group_id", "enable_auto_commit", "auto_offset_reset", "max_poll_records"),
            *("check_crcs", "isolation_level", "allow_auto_create_topics"),
        }
    )

    bootstrap: BootstrapServers = "127.0.0.1:9092"
    """`host:port`, several separated by commas."""
    topic: Topic = "windows"
    """Where windows are read from."""
    group: str = "undertow"
    """The consumer group that offsets are committed to, for lag tools; it must have no members."""
    dead_letters: Topic = ""
    """Topic for rejects; empty means `<topic>.rejects`."""
    format: Literal["json", "arrow", "avro", "avro-confluent"] = "json"
    """The format of records: `arrow` is many windows in one record, `avro` one of `schemas/window.v1.avsc`,
    `avro-confluent` one behind the id of its schema in the registry. Both Avros need `undertow[avro]`."""
    registry: str = ""
    """URL of the schema registry, for `avro-confluent`."""
    registry_extra: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Handed to confluent-kafka's registry client untouched: TLS, bearer tokens. Not in our repr."""
    registry_credentials: SecretStr | None = None
    """`user:password`; set it by environment or file, never by flag."""
    registry_credentials_file: LocalPath | None = None
    """Holds them, as a mounted secret does."""
    max_batch: int = Field(default=256, ge=1)
    """Windows that are embedded together at most; a record of many windows (`arrow`) is never cut. On a GPU let it be
    thousands: a forward of 1,024 windows was seen to take as long as one of 64 (`tests/bench/README.md`)."""
    max_delay_ms: float = Field(default=0.0, ge=0, le=1000)
    """How long a batch that is not full may wait for more. Without it a batch is what has arrived while the one before
    was embedded: small at low load, full at high load. A little (2 to 5) helps where a forward costs the same for one
    window as for many, as on a GPU."""
    max_record_bytes: int = Field(default=1 << 20, ge=1)
    """Larger records are rejected without being decoded."""
    max_unpacked_bytes: int = Field(default=64 << 20, ge=1 << 10)
    """The largest decompressed size of a record batch; a larger one is skipped: reported, counted as lost, and written
    to the dead letters as it is."""
    max_poll_bytes: int = Field(default=256 << 20, ge=1 << 10)
    """Once one poll has decompressed more, the rest of its batches waits for the next one."""
    event_time: EventTimeSettings = EventTimeSettings()

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
        """Options that every client of this broker takes. Raises `Refused` where a file cannot be read."""
        return {"bootstrap_servers": self.bootstrap.split(","), **self.login_options(), **self.extra}

    def registry_options(self) -> dict[str, Any]:
        """Options of the registry's client. Raises `Refused` where a file cannot be read."""
        login: dict[str, Any] = {}
        if self.registry_credentials is not None:
            login["basic.auth.user.info"] = self.registry_credentials.get_secret_value()
        elif self.registry_credentials_file is not None:
            file = self.registry_credentials_file
            login["basic.auth.user.info"] = read_secret(file, "kafka.registry_credentials_file")
        require_registry_files(self.registry_extra)
        return {**self.registry_extra, **login, "url": self.registry}


class ModelSettings(Section):
    """The artifacts and where they run."""

    artifact: Annotated[Paths, NoDecode, PlainValidator(parse_paths)] = Path("artifact")
    """The folder that `undertow pack` wrote; or a list of several, `["a", "b"]`, which one fleet serves together."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ...; auto is the first GPU that the process sees, else the CPU."""
    threads: int = Field(default=1, ge=1)
    """Threads of one replica's forward; `undertow pack` and `undertow taps` run the model with as many."""
    max_embed_seconds: float = Field(default=300.0, gt=0)
    """A model that takes longer for one batch is considered hung: its replica is replaced, and the record that causes
    it is found and rejected (`hangs`). Must exceed the first batch, which may compile or wait for a GPU."""
    code: tuple[str, ...] = ()
    """Top-level packages that an artifact of a plain module may name; they are imported, so list what you trust."""

    run_compiled: bool = False
    """Run the native code that `undertow pack --compile` kept in the artifact. Say so only of what you trust."""

    @property
    def artifacts(self) -> tuple[Path, ...]:
        """All artifacts, one or more."""
        return self.artifact if isinstance(self.artifact, tuple) else (self.artifact,)

    @field_validator("code")
    @classmethod
    def _top_level(cls, code: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in code if not name.isidentifier()]:
            message = f"expected top-level packages, such as mypackage of mypackage.nets, found {', '.join(wrong)}"
            raise ValueError(message)
        return code


class FeastSettings(Section):
    """The Feast repository; the online store is whatever its YAML says."""

    repo: LocalPath = Path("feature_repo")
    """The folder of the Feast repository; `undertow init` makes one."""
    config: Annotated[str, BeforeValidator(require_local)] = "feature_store.yaml"
    """File name inside `repo`; `feature_store.redis.yaml` keeps the online store in Redis."""
    replace_alien_keys: bool = False
    """Whether a foreign value in Redis at the key of a series, which is no hash, may be deleted. Otherwise it stays,
    the series is written to the offline log alone, and a warning names the key."""


class OfflineSettings(Section):
    """The history of embeddings, which is also the record of progress."""

    path: LocalPath = Path(".undertow/offline")
    """The folder of the log; one that all nodes share, where a fleet runs on several."""
    enabled: bool = True
    """Without it Kafka's committed offset is the record of progress, committed after the online write."""
    checkpoint_seconds: float = Field(default=2.0, gt=0)
    """How often what is online becomes durable; after a crash as much is read again. Sooner by rows or bytes."""
    checkpoint_rows: int = Field(default=20_000, ge=1)
    """Of rows that are not yet durable."""
    checkpoint_bytes: int = Field(default=64 << 20, ge=1)
    """Of vectors that are not yet durable: a checkpoint is due then. A replica holds about twice that in memory."""
    read_memory_bytes: int = Field(default=1 << 30, ge=128 << 20)
    """Memory of `join` and `rebuild` for the log, beside the 300 MB of the process; the rest is spilled to disk."""


class FleetSettings(Section):
    """How many replicas, and what each may use."""

    name: FleetName = "undertow"
    """By which `status`, `scale`, `drain` and an `undertow run` that attaches find the fleet in its Ray."""
    address: str = "local"
    """Ray's address: `local` starts a Ray of its own, `auto` joins the running one, else `ray://...` or `host:port`."""
    replicas: int = Field(default=2, ge=1)
    """How many read at the start; `undertow scale` changes it. Of a topic with fewer partitions some read nothing."""
    standbys: int = Field(default=0, ge=0)
    """The number of additional replicas that are loaded and read nothing until another dies: then they take over."""
    min_replicas: int = Field(default=1, ge=1)
    """The smallest size of an autoscaled fleet."""
    max_replicas: int = Field(default=0, ge=0)
    """Above 0 the size follows the lag, from `min_replicas` to this, beginning with `replicas`; at most one a
    partition."""
    catch_up_seconds: float = Field(default=60.0, gt=0)
    """An autoscaled fleet is large enough to catch up within this time while it keeps up with new records."""
    scale_up_seconds: float = Field(default=10.0, ge=0)
    """How long more replicas must have been needed before it grows..."""
    scale_down_seconds: float = Field(default=300.0, ge=0)
    """...and how long fewer must suffice, with a fifth to spare, before it shrinks by one."""
    look_for_partitions_seconds: float = Field(default=10.0, gt=0)
    """How often a running fleet asks the broker whether the topic has more partitions, or is another one."""
    force: bool = False
    """Start even where another fleet reads this topic under this group: both do all the work, readers see it once."""
    num_cpus: float = Field(default=1.0, ge=0)
    """Of each replica, as Ray counts them: how many go onto a node."""
    num_gpus: float = Field(default=0.0, ge=0)
    """Of each replica, such as 0.25 where four share one. With 0 each sees all GPUs of its node, and `auto` takes the
    first: right where there is one, and no way to spread over several."""
    heartbeat_timeout_seconds: float = Field(default=10.0, gt=0)
    """A replica that answers no heartbeat for this long is replaced."""
    drain_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a drain waits for an unavailable store; what was not written is read again by the next run."""
    max_reject_ratio: float | None = Field(default=None, ge=0, lt=1)
    """The fleet stops where the share of rejected records in the window is larger; None is never."""
    reject_window_seconds: float = Field(default=60.0, gt=0)
    """The window over which the reject ratio is computed."""
    reject_window_records: int = Field(default=1_000, ge=1)
    """With fewer records in the window the ratio is not evaluated."""

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
    """Rows of one chunk, which is embedded and made durable as a whole. A job keeps the one it began with."""
    replicas: int = Field(default=2, ge=1)
    """How many actors embed at once."""

"""The sections of the offline log: where it lies, how often it is written to, and how its store is reached.

In: values that `undertow.settings.settings` has found. Out: frozen sections. Knows no log and no client of a store.

The docstring below a field is its reference, which `undertow settings` shows.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from undertow.settings.kafka_security import Section, read_secret
from undertow.settings.local_paths import AnyPlace, LocalPath
from undertow.storage.store_client import StoreOptions


class OfflineSettings(Section):
    """The offline log: the history of embeddings, which also records how far the stream has read."""

    path: AnyPlace = Path(".undertow/offline")
    """The folder of the offline log, or an address in an object store: `s3://bucket/folder`, `gs://bucket/folder` or
    `az://account/container/folder`, which needs `undertow[store]`. A fleet on several nodes needs a folder that all of
    them share, or a store."""
    enabled: bool = True
    """Whether to write the offline log. Without it the offset committed to Kafka, after the online write, records how
    far the stream has read."""
    checkpoint_seconds: float = Field(default=2.0, gt=0)
    """Seconds between checkpoints, which append to the offline log and commit offsets. After a crash, records since the
    last one are read again. `checkpoint_rows` and `checkpoint_bytes` may make one earlier."""
    checkpoint_rows: int = Field(default=20_000, ge=1)
    """A checkpoint is due when this many rows are not yet in the offline log."""
    checkpoint_bytes: int = Field(default=64 << 20, ge=1)
    """A checkpoint is due when this many bytes of vectors are not yet in the offline log. A replica holds about twice
    that in memory."""
    snapshot_seconds: float = Field(default=60.0, gt=0)
    """Seconds between snapshots of what a replica holds of a partition's raw observations (`kafka.content`), beside the
    log. Whoever takes the partition over reads again what came since the newest one."""
    read_memory_bytes: int = Field(default=1 << 30, ge=128 << 20)
    """Memory in which `join` and `rebuild` read the log, in addition to 300 MB for the process; more is spilled to
    disk."""
    keep_days: int = Field(default=0, ge=0)
    """Days of event time that `maintain` keeps in the table of history; 0 keeps all, for ever."""
    maintain_seconds: float = Field(default=300.0, ge=0)
    """Pause between two runs of the fleet's own maintainer, which does what `undertow maintain` does, at low priority;
    0: the fleet has none, and `undertow maintain --every 5m` is to run beside it."""
    grace_seconds: float = Field(default=3600.0, ge=0)
    """How long `maintain` keeps parts that are in the table of history already, for readers that have begun before."""


class StoreSettings(Section):
    """How an object store is reached, where `offline.path` is an address in one, or Feast's registry lies in S3.

    What is not set is taken from the vendor's own variables (AWS_REGION, GOOGLE_APPLICATION_CREDENTIALS,
    AZURE_STORAGE_ACCOUNT_KEY, ...) or from the machine's role.
    """

    endpoint: str = ""
    """The URL of a server that is not the vendor's own, such as `https://minio.local:9000`."""
    region: str = ""
    """The region of the bucket."""
    access_key_id: str = ""
    """The public half of the key."""
    secret_access_key: SecretStr | None = None
    """The secret half of the key, or the account's key of Azure; set it by environment or file, never by flag."""
    secret_access_key_file: LocalPath | None = None
    """A file with it, such as a mounted secret."""
    session_token: SecretStr | None = None
    """The token of a temporary key; set it by environment, never by flag."""
    ca_file: LocalPath | None = None
    """Certificates, as PEM, that the server's is signed by, in addition to the machine's."""
    extra: dict[str, str] = Field(default_factory=dict, repr=False)
    """Options passed unchanged to object_store, by its names, such as `aws_virtual_hosted_style_request`."""

    cache_bytes: int = Field(default=4 << 30, ge=0)
    """Bytes of objects that stay on this machine's disk, in `~/.cache/undertow`, so that `join`, `view` and `rebuild`
    fetch what is new; 0: they copy all to the temporary folder each time."""

    @model_validator(mode="after")
    def _one_secret(self) -> "StoreSettings":
        if self.secret_access_key is not None and self.secret_access_key_file is not None:
            message = "store.secret_access_key and store.secret_access_key_file are both set: keep one of them"
            raise ValueError(message)
        return self

    def options(self) -> StoreOptions:
        """Return what the client takes, files read. Raises `Refused`."""
        secret = "" if self.secret_access_key is None else self.secret_access_key.get_secret_value()
        if self.secret_access_key_file is not None:
            secret = read_secret(self.secret_access_key_file, "store.secret_access_key_file")
        return StoreOptions(
            endpoint=self.endpoint,
            region=self.region,
            access_key_id=self.access_key_id,
            secret_access_key=secret,
            session_token="" if self.session_token is None else self.session_token.get_secret_value(),
            ca_file="" if self.ca_file is None else str(self.ca_file.absolute()),
            extra=tuple(sorted(self.extra.items())),
            cache_bytes=self.cache_bytes,
        )


class KnowsStore(Section):
    """A section that knows how an object store is reached, besides its own keys."""

    _store: StoreSettings = PrivateAttr(default_factory=StoreSettings)

    @property
    def store(self) -> StoreSettings:
        """How an object store is reached; the vendor's own variables alone say it unless `reached_by` did."""
        return self._store

    def reached_by(self, store: StoreSettings) -> Self:
        """Return this section with how an object store is reached."""
        section = self.model_copy()
        section._store = store  # noqa: SLF001  the copy is ours
        return section

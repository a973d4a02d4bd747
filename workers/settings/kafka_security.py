"""Authentication and TLS of Kafka clients: a part of the section `kafka`.

In: the section's values, and files that they name. Out: options of kafka-python. Knows no client. A secret's file is
read when a process connects, so that secrets do not travel between processes, and may be replaced while a fleet runs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from undertow.core.errors import Refused
from undertow.core.masking import secrets_in
from undertow.settings.local_paths import LocalPath
from undertow.settings.tls_files import require_authorities, require_pair

_SASL = ("sasl_mechanism", "username", "password", "password_file", "oauth_token_file")
_TLS = ("ca_file", "cert_file", "key_file", "key_password", "key_password_file")


class Section(BaseModel):
    """A frozen section of the settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _not_blank(cls, given: Any, about: ValidationInfo) -> Any:
        """Refuse an empty text if one is needed, and text of only spaces, except in a secret."""
        field = cls.model_fields[str(about.field_name)]
        if not isinstance(given, str) or given.strip() or SecretStr in (field.annotation, *get_args(field.annotation)):
            return given
        if given == field.default:
            return given
        default = f", {field.default}" if isinstance(field.default, str | Path) and str(field.default) else ""
        message = (
            f"expected a value, found {'spaces' if given else 'an empty text'}; leave it out for its default{default}"
        )
        raise ValueError(message)


class KafkaSecurity(Section):
    """The keys of the section `kafka` for authentication and TLS."""

    VENDOR: ClassVar[Mapping[str, str]] = {
        "security_protocol": "security_protocol",
        "sasl_mechanism": "sasl_mechanism",
        "username": "sasl_plain_username",
        "password": "sasl_plain_password",
        "password_file": "sasl_plain_password",
        "oauth_token_file": "sasl_oauth_token_provider",
        "ca_file": "ssl_cafile",
        "cert_file": "ssl_certfile",
        "key_file": "ssl_keyfile",
        "key_password": "ssl_password",
        "key_password_file": "ssl_password",
    }
    """Our keys, and kafka-python's names for them."""

    security_protocol: Literal["", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = ""
    """How to connect: SSL means TLS, SASL a login by `sasl_mechanism`. SASL_PLAINTEXT sends everything unencrypted.
    Empty means PLAINTEXT."""
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] = ""
    """How to log in, if `security_protocol` is SASL_PLAINTEXT or SASL_SSL."""
    username: str = ""
    """The user name, for PLAIN and SCRAM."""
    password: SecretStr | None = None
    """The password, for PLAIN and SCRAM; set it by environment or file, never by flag."""
    password_file: LocalPath | None = None
    """A file with the password, such as a mounted secret."""
    oauth_token_file: LocalPath | None = None
    """A file with the token of OAUTHBEARER. It is read for each login, so the token may be replaced at any time."""
    ca_file: LocalPath | None = None
    """CA certificates (PEM) by which the brokers' certificates are verified; by default the system's."""
    cert_file: LocalPath | None = None
    """The client certificate (PEM), if the brokers ask for one."""
    key_file: LocalPath | None = None
    """The key (PEM) of the client certificate, if it is not in `cert_file`, too."""
    key_password: SecretStr | None = None
    """The password of an encrypted key; set it by environment or file, never by flag."""
    key_password_file: LocalPath | None = None
    """A file with the key's password, such as a mounted secret."""
    extra: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Options passed unchanged to kafka-python, such as timeouts, ciphers and Kerberos."""

    @model_validator(mode="after")
    def _no_contradiction(self) -> "KafkaSecurity":
        if faults := list(_faults(self)):
            raise ValueError("; ".join(faults))
        return self

    @property
    def has_tls(self) -> bool:
        """Whether connections speak TLS."""
        return str(self.security_protocol or self.extra.get("security_protocol") or "").endswith("SSL")

    def given(self, names: tuple[str, ...] = (*VENDOR,)) -> list[str]:
        """Return which of these keys have a value."""
        return [name for name in names if getattr(self, name)]

    def login_options(self) -> dict[str, Any]:
        """Return kafka-python's options, except for a token. Raises `Refused` if a file cannot be read."""
        options: dict[str, Any] = {}
        for name in self.given():
            value = getattr(self, name)
            if name.endswith("password_file"):
                value = read_secret(value, f"kafka.{name}")
            elif isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, Path):
                value = str(value)
            if name != "oauth_token_file":
                options[self.VENDOR[name]] = value
        self._require_files({**options, **self.extra})
        return options

    def _require_files(self, options: Mapping[str, Any]) -> None:
        """Raise `Refused` if certificates, keys and passwords do not fit together."""
        ours = {self.VENDOR[name]: f"kafka.{name}" for name in self.given()}
        names = {name: ours.get(name, f"kafka.extra.{name}") for name in options}
        if authorities := options.get("ssl_cafile"):
            require_authorities(Path(authorities), names["ssl_cafile"])
        if certificate := options.get("ssl_certfile"):
            key, password = options.get("ssl_keyfile"), options.get("ssl_password")
            require_pair(
                Path(certificate),
                Path(key) if key else None,
                password,
                {
                    "certificate": names["ssl_certfile"],
                    "key": names.get("ssl_keyfile", ""),
                    "password": "UNDERTOW_KAFKA__KEY_PASSWORD or kafka.key_password_file",
                },
            )

    def secrets(self) -> list[str]:
        """Return the secrets that must be masked in any text about this broker."""
        values = [getattr(self, name) for name in self.given()]
        files = [getattr(self, name) for name in self.given(("password_file", "key_password_file", "oauth_token_file"))]
        return [
            *secrets_in(self.extra),
            *(value.get_secret_value() for value in values if isinstance(value, SecretStr)),
            *filter(None, map(secret_or_nothing, files)),
        ]


def secret_or_nothing(file: Path) -> str:
    """Return what may not be shown of a secret's file; nothing where it cannot be read, which its reader reports."""
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def read_secret(file: Path, setting: str) -> str:
    """Return the text of a file, without its last line break. Raises `Refused`."""
    try:
        secret = _read_bytes(file, setting).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret:
        message = f"expected a secret in UTF-8 in {file} ({setting}), but the file holds none"
        raise Refused(message)
    return secret


def _read_bytes(file: Path, setting: str) -> bytes:
    """Return the bytes of a file. Raises `Refused`."""
    try:
        return file.read_bytes()
    except OSError as error:
        message = f"expected a file at {file} ({setting}): {error.strerror}"
        raise Refused(message) from error


def _faults(kafka: KafkaSecurity) -> Iterator[str]:
    """Yield a sentence for each contradiction."""
    given, vendor = kafka.given(), kafka.VENDOR
    for name in given:
        if vendor[name] in kafka.extra:
            yield f"kafka.{name} is also set as {vendor[name]} in kafka.extra: keep one of them"
        if f"{name}_file" in given:
            yield f"kafka.{name} and kafka.{name}_file are both set: keep one of them"
    protocol = kafka.security_protocol or kafka.extra.get("security_protocol") or "PLAINTEXT"
    if not protocol.startswith("SASL") and (vain := kafka.given(_SASL)):
        yield (
            f"kafka.{vain[0]} is set, but kafka.security_protocol = {protocol} has no login: "
            "SASL_SSL has one, and so has SASL_PLAINTEXT, which sends it in the clear"
        )
    if not protocol.endswith("SSL") and (vain := kafka.given(_TLS)):
        yield f"kafka.{vain[0]} is set, but kafka.security_protocol = {protocol} has no TLS: SSL and SASL_SSL have"
    has = {vendor[name] for name in given} | kafka.extra.keys()
    if protocol.startswith("SASL"):
        yield from _login_faults(protocol, kafka.sasl_mechanism or kafka.extra.get("sasl_mechanism") or "", has)
    if "ssl_keyfile" in has and "ssl_certfile" not in has:
        yield "kafka.key_file needs kafka.cert_file, the certificate that it belongs to"


def _login_faults(protocol: str, mechanism: str, has: set[str]) -> Iterator[str]:
    if not mechanism:
        yield f"kafka.security_protocol = {protocol} needs kafka.sasl_mechanism, for example SCRAM-SHA-512"
    takes_password, takes_token = mechanism.startswith(("PLAIN", "SCRAM")), mechanism == "OAUTHBEARER"
    if takes_password and "sasl_plain_username" not in has:
        yield f"kafka.sasl_mechanism = {mechanism} needs kafka.username"
    if takes_password and "sasl_plain_password" not in has:
        yield f"kafka.sasl_mechanism = {mechanism} needs a password: UNDERTOW_KAFKA__PASSWORD or kafka.password_file"
    if takes_token and "sasl_oauth_token_provider" not in has:
        yield "kafka.sasl_mechanism = OAUTHBEARER needs kafka.oauth_token_file, which holds the token"
    for needless in () if takes_password else ("sasl_plain_username", "sasl_plain_password"):
        if mechanism and needless in has:
            yield f"kafka.sasl_mechanism = {mechanism} takes no {needless.removeprefix('sasl_plain_')}"
    if mechanism and not takes_token and "sasl_oauth_token_provider" in has:
        yield f"kafka.sasl_mechanism = {mechanism} takes no token: kafka.oauth_token_file is for OAUTHBEARER"

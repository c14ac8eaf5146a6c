"""The connection to Kafka's brokers: its settings, and the configuration of librdkafka from them.

The client, confluent-kafka, is an extra of this package; it is imported when it is first used.
"""

import re
from types import ModuleType
from typing import Any, Final, Literal

from attrs import field, frozen

from walker_collector.config import Secret
from walker_collector.errors import PluginError
from walker_collector.validators import filled

_BROKER: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PORT_MAX: Final = 65_535

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def names_brokers(_: Any, __: Any, value: str) -> None:
    """Refuse text other than `host:port,host:port`."""
    for broker in value.split(","):
        match = _BROKER.fullmatch(broker.strip())
        if match is None or not 0 < int(match[1]) <= _PORT_MAX:
            raise ValueError('must be brokers with their ports, such as "kafka1:9092,kafka2:9092"')


def names_topic(_: Any, __: Any, value: str) -> None:
    """Refuse a name that no topic can have."""
    if not _TOPIC.fullmatch(value) or value in (".", ".."):
        raise ValueError("a topic has up to 249 letters, digits, dots, underscores and hyphens")


_LOGIN: Final = {"mechanism": "mechanism", "username": "username", "password": "password"}
_TLS: Final = {
    "ca_file": "caFile",
    "cert_file": "certFile",
    "key_file": "keyFile",
    "key_password": "keyPassword",
}
"""Fields that belong together, as a flow file writes them."""


def _fits_together(security: Any, _: Any, protocol: str) -> None:
    """Refuse a protocol without the settings that it needs, or with those of another one.

    `security` may lack fields that are not given.
    """
    given = {name for name in (*_LOGIN, *_TLS) if getattr(security, name, None)}
    login = [key for name, key in _LOGIN.items() if name in given]
    lacking = [key for key in _LOGIN.values() if key not in login]
    if protocol.startswith("SASL_") and lacking:
        raise ValueError(f"{protocol} needs {', '.join(lacking)}")
    if login and not protocol.startswith("SASL_"):
        raise ValueError(f"{protocol} has no login: {', '.join(login)} need SASL_{protocol}")
    if not protocol.endswith("SSL") and (certificates := given & _TLS.keys()):
        names = ", ".join(key for name, key in _TLS.items() if name in certificates)
        raise ValueError(f"{protocol} does not encrypt: {names} need SSL or SASL_SSL")
    if ("cert_file" in given) != ("key_file" in given):
        raise ValueError("certFile and keyFile belong together")
    if "key_password" in given and "key_file" not in given:
        raise ValueError("keyPassword is for a keyFile, and there is none")


@frozen(kw_only=True)
class Security:
    """The encryption of a connection and the proofs of identity, in the words of Kafka.

    protocol: `SSL` and `SASL_SSL` encrypt; with `SASL_PLAINTEXT` and `SASL_SSL` the client logs in.
    mechanism: the client logs in with it; required with SASL.
    username: the name to log in with.
    password: the password to log in with; it is never shown.
    ca_file: the brokers' certificates are signed by an authority in this PEM file, instead of the
        system's.
    cert_file: the client proves who it is with the certificate in this PEM file.
    key_file: the private key of that certificate is in this PEM file.
    key_password: the password of the private key; it is never shown.
    """

    protocol: Protocol = field(validator=_fits_together)
    mechanism: Mechanism | None = None
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = field(default=None, validator=filled, metadata={"certificates": True})
    cert_file: str | None = field(default=None, validator=filled, metadata={"certificates": True})
    key_file: str | None = field(default=None, validator=filled, metadata={"file": True})
    key_password: Secret | None = None


def load_client() -> ModuleType:
    """Return the client's module; raises PluginError if the extra `kafka` is not installed."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise PluginError(
            f"needs confluent-kafka ({error}): pip install 'walker-collector[kafka]'"
        ) from None
    return confluent_kafka


def client_config(brokers: str, security: Security | None) -> dict[str, Any]:
    """Return the configuration of librdkafka for a connection. It has secrets: it is not shown."""
    config: dict[str, Any] = {
        "bootstrap.servers": ",".join(broker.strip() for broker in brokers.split(",")),
        "client.id": "walker-collector",
        "log.connection.close": False,  # brokers close connections that are idle
        "reconnect.backoff.max.ms": 2_000,
        "socket.keepalive.enable": True,
    }
    if security is None:
        return config
    own = {
        "security.protocol": security.protocol,
        "sasl.mechanism": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": security.password,
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.cert_file,
        "ssl.key.location": security.key_file,
        "ssl.key.password": security.key_password,
    }
    for name, value in own.items():
        if value is not None:
            config[name] = value.reveal() if isinstance(value, Secret) else value
    return config

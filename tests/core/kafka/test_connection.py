"""The settings of a connection to Kafka, and librdkafka's configuration from them."""

import sys
from typing import Any

import pytest
from attrs import field, frozen

from walker_collector import Secret
from walker_collector.errors import PluginError
from walker_collector.flow.types import structure
from walker_collector.kafka.connection import (
    Security,
    client_config,
    load_client,
    names_brokers,
    names_topic,
)

LOGIN = {"mechanism": "PLAIN", "username": "walker", "password": "kafka-secret"}


@frozen(kw_only=True)
class Settings:
    brokers: str = field(default="k1:9092", validator=names_brokers)
    topic: str = field(default="events", validator=names_topic)
    security: Security | None = None


def problems(**settings: Any) -> list[str]:
    """What is wrong with settings as a flow has them."""
    return [str(problem) for problem in structure(settings, Settings, "s")[1]]


@pytest.mark.parametrize(
    "brokers", ["localhost:9092", "k1:9092, k2.example.com:19092", "[::1]:9092", "10.0.0.1:9092"]
)
def test_brokers_have_hosts_and_ports(brokers: str) -> None:
    assert problems(brokers=brokers) == []


@pytest.mark.parametrize("brokers", ["", "k1", "k1:", "k1:0", "k1:99999", "k1:9092,", "http://k:1"])
def test_anything_else_is_refused(brokers: str) -> None:
    (problem,) = problems(brokers=brokers)
    assert problem.startswith("s.brokers: must be brokers with their ports")


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "ü", "a" * 250, "a/b"])
def test_name_that_no_topic_has_is_refused(topic: str) -> None:
    (problem,) = problems(topic=topic)
    assert problem.startswith("s.topic: a topic has up to 249 letters")


@pytest.mark.parametrize(
    ("security", "path", "words"),
    [
        ({}, "protocol", "required"),
        ({"protocol": "TLS"}, "protocol", "PLAINTEXT"),
        ({"protocol": "SASL_SSL"}, "protocol", "SASL_SSL needs mechanism, username, password"),
        ({"protocol": "SASL_SSL", **LOGIN, "password": ""}, "protocol", "SASL_SSL needs password"),
        ({"protocol": "SSL", **LOGIN}, "protocol", "need SASL_SSL"),
        ({"protocol": "SASL_SSL", **LOGIN, "mechanism": "GSSAPI"}, "mechanism", "SCRAM-SHA-256"),
        ({"protocol": "PLAINTEXT", "keyFile": "k.pem"}, "protocol", "keyFile need SSL or SASL_SSL"),
        ({"protocol": "SSL", "keyFile": "k.pem"}, "protocol", "belong together"),
        ({"protocol": "SSL", "keyPassword": "key-secret"}, "protocol", "there is none"),
    ],
)
def test_security_that_does_not_fit_together_is_refused(
    security: dict[str, Any], path: str, words: str
) -> None:
    found = problems(security=security)
    assert found[0].startswith(f"s.security.{path}: ")
    assert words in found[0]
    assert "-secret" not in "".join(found)


def test_plain_connection_needs_no_security() -> None:
    config = client_config("k1:9092, k2:9092", None)
    assert config["bootstrap.servers"] == "k1:9092,k2:9092"
    assert not any(name.startswith(("sasl", "ssl", "security")) for name in config)


def test_security_becomes_the_configuration_of_the_client() -> None:
    security = Security(
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username="walker",
        password=Secret("kafka-secret"),
        ca_file="ca.pem",
        cert_file="me.pem",
        key_file="me.key",
        key_password=Secret("key-secret"),
    )
    config = client_config("k1:9092", security)
    assert config["security.protocol"] == "SASL_SSL"
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (config["sasl.username"], config["sasl.password"]) == ("walker", "kafka-secret")
    assert config["ssl.ca.location"] == "ca.pem"
    assert (config["ssl.certificate.location"], config["ssl.key.location"]) == ("me.pem", "me.key")
    assert config["ssl.key.password"] == "key-secret"
    assert "secret" not in repr(security)


def test_client_takes_every_name_in_the_configuration() -> None:
    client = load_client()
    security = Security(
        protocol="SASL_PLAINTEXT",
        mechanism="SCRAM-SHA-256",
        username="walker",
        password=Secret("kafka-secret"),
    )
    for config in (client_config("127.0.0.1:1", None), client_config("127.0.0.1:1", security)):
        client.Producer({**config, "log_level": 0, "error_cb": lambda error: None})


def test_missing_client_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(PluginError, match=r"pip install 'walker-collector\[kafka\]'"):
        load_client()

"""The broker of the tests keeps what it is sent."""

from tests.kafka_broker import KafkaBroker


def test_broker_keeps_messages_in_order(kafka_broker: KafkaBroker) -> None:
    topic = kafka_broker.new_topic(2)
    kafka_broker.send(topic, b"1", b"2", key=b"a", partition=1)
    found = kafka_broker.messages(topic, 2)
    assert [(item.partition(), item.offset(), item.value()) for item in found] == [
        (1, 0, b"1"),
        (1, 1, b"2"),
    ]
    kafka_broker.pause()
    kafka_broker.resume()
    kafka_broker.send(topic, b"3", partition=1)
    assert len(kafka_broker.messages(topic, 3)) == 3
    assert kafka_broker.progress(topic, "nobody") == (3, 0)

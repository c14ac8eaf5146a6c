"""Kafka: messages, connection, destination; by librdkafka's mock cluster and a real broker."""

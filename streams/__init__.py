"""The Kafka door: bytes in, bytes out, no judgement."""

"""The parts of Weir on one machine: Kafka, Redis and MLflow, started, watched and stopped."""

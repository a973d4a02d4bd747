"""A real Kafka and Redis for one machine, from packages alone."""

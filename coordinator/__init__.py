"""The coordinator: MQTT in and out, rounds, aggregation and checkpoint."""

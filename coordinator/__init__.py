"""The coordinator: MQTT in and out, rounds, aggregation, checkpoint, registry and metrics."""

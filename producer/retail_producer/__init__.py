"""Replays transaction CSVs as events to a Kafka topic."""

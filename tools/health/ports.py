"""Ports at which daemons are asked how they are; each asks itself, on its own host."""

NAMENODE_HTTP = 9870
SPARK_MASTER_UI = 8080
KAFKA_BROKER = 9092

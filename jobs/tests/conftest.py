from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession
from retail_jobs.batch import SPARK
from retail_jobs.session import open_session

from tools.testing.kafka_broker import Broker, running, spark_kafka_jars

# What else a machine does is no reason to fail.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    test = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.jars": spark_kafka_jars(),
        # Tests run too short for the second compiler of the JVM to pay.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    session = open_session("tests", {**SPARK, **test})
    yield session
    session.stop()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with running() as server:
        yield server

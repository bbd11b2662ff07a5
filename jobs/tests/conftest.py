from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from retail_jobs.batch import SPARK
from retail_jobs.session import open_session


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = open_session("tests", {**SPARK, "spark.master": "local[2]", "spark.ui.enabled": "false"})
    yield session
    session.stop()

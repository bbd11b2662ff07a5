from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from retail_webapp import create_app
from retail_webapp.settings import Settings

from .samples import Publisher, publish_month


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "analysis_parquet"


@pytest.fixture
def batch(folder: Path) -> Publisher:
    return Publisher(folder)


@pytest.fixture
def month(batch: Publisher) -> Path:
    publish_month(batch)
    return batch.folder


@pytest.fixture
def settings(folder: Path) -> Settings:
    return Settings(
        use_hdfs=False,
        analysis_path=str(folder),
        stores_path=str(folder.with_name("stores_parquet")),
        closed_path=str(folder.with_name("streaming_product_revenue")),
        stream_path=str(folder.with_name(".state") / "streaming"),
        quarantine_path=str(folder.with_name("quarantine")),
        report_path=str(folder.with_name("last_run.json")),
        # Short enough for a test that waits, long enough for one that calls refresh itself.
        refresh_seconds=0.05,
        slow_refresh_seconds=0.05,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app({"TESTING": True, "SETTINGS": settings})
    yield app
    app.extensions["sources"].stop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask import Flask
from flask.testing import FlaskClient
from retail_webapp import create_app
from retail_webapp.settings import Settings
from retail_webapp.sources.dataset import COLUMNS

from .samples import MONTH, BatchRow, WriteDay


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "analysis_parquet"


@pytest.fixture
def write_day(folder: Path) -> WriteDay:
    def write(day: date, rows: list[BatchRow]) -> Path:
        columns = list(zip(*rows, strict=True))
        columns[5] = tuple(Decimal(text) for text in columns[5])
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, COLUMNS, strict=True)]
        path = folder / f"order_date={day}" / "part-00000.snappy.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name("." + path.name)
        pq.write_table(pa.table(arrays, schema=COLUMNS), hidden)
        hidden.rename(path)
        return path

    return write


@pytest.fixture
def month(write_day: WriteDay, folder: Path) -> Path:
    for day, rows in MONTH.items():
        write_day(day, rows)
    return folder


@pytest.fixture
def app(folder: Path) -> Iterator[Flask]:
    settings = Settings(use_hdfs=False, analysis_path=str(folder), refresh_seconds=0.05)
    app = create_app({"TESTING": True, "SETTINGS": settings})
    yield app
    app.extensions["sources"].stop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()

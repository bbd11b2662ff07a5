"""What the page offers to compute oneself gives what the page shows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from flask.testing import FlaskClient
from pyspark.sql import SparkSession
from retail_webapp.settings import Settings
from retail_webapp.snippets import Snippet, snippets_of

from tools.testing.hdfs_daemons import archive, running_hdfs
from tools.testing.kafka_broker import create_topic, running, spark_kafka_jars

from .samples import write_everything

pytestmark = pytest.mark.usefixtures("everything")


@pytest.fixture
def everything(folder: Path) -> None:
    write_everything(folder.parent, datetime.now(UTC))


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.jars", spark_kafka_jars())
    session = builder.config("spark.sql.shuffle.partitions", "1").getOrCreate()
    yield session
    session.stop()


def run(snippet: Snippet, spark: SparkSession | None = None) -> list[dict[str, Any]]:
    """The rows that the lines leave, with everything as text."""
    names: dict[str, Any] = {"spark": spark}
    exec(snippet.code, names)
    rows = names["rows"]
    if snippet.tool == "PySpark":
        return [row.asDict() for row in rows.collect()]
    if snippet.tool == "DuckDB":
        return list(rows.to_arrow_table().to_pylist())
    if snippet.tool == "pyarrow":
        return without_suffix(rows)
    return list(rows)


def without_suffix(table: pa.Table) -> list[dict[str, Any]]:
    """Rows by the names of the columns that were summed up."""
    rows: list[dict[str, Any]] = table.rename_columns(
        [name.removesuffix("_sum") for name in table.column_names]
    ).to_pylist()
    return rows


def text(value: object) -> str:
    """As the page has it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value else "0"
    return str(value)


def rows_of(rows: list[dict[str, Any]], *names: str) -> list[tuple[str, ...]]:
    return [tuple(text(row[name]) for name in names) for row in rows]


def plain(answer: list[dict[str, Any]], *names: str) -> list[tuple[str, ...]]:
    """Rows of the page, with money and quantities as numbers are written."""
    decimals = ("quantity", "revenue", "batch", "closed", "difference")
    typed = [{name: Decimal(row[name]) if name in decimals else row[name] for name in names} for row in answer]
    return rows_of(typed, *names)


PANELS = {
    "daily": ("days", ("order_date", "orders", "quantity", "revenue")),
    "products": ("rows", ("product", "orders", "quantity", "revenue")),
    "categories": ("rows", ("category", "orders", "quantity", "revenue")),
    "stores": ("rows", ("store_id", "store_city", "orders", "quantity", "revenue")),
    "closed": ("rows", ("window_start", "orders", "revenue")),
    "quarantine": ("rows", ("reason", "records")),
    "jobs": ("runs", ("run_id", "rows_read", "clean", "quarantined", "result")),
}


def offered(settings: Settings, panel: str, tool: str) -> Snippet:
    return next(snippet for snippet in snippets_of(settings)[panel] if snippet.tool == tool)


@pytest.mark.parametrize(
    ("panel", "tool"),
    [
        *((panel, tool) for panel in PANELS if panel != "jobs" for tool in ("PySpark", "DuckDB", "pyarrow")),
        ("jobs", "Python"),
    ],
)
def test_the_lines_of_a_panel_give_its_numbers(
    client: FlaskClient, settings: Settings, spark: SparkSession, panel: str, tool: str
) -> None:
    part, names = PANELS[panel]
    shown = plain(client.get(f"/api/{panel}").get_json()[part], *names)
    assert len(shown) > 1
    assert sorted(rows_of(run(offered(settings, panel, tool), spark), *names)) == sorted(shown)


@pytest.mark.parametrize("tool", ["PySpark", "DuckDB", "pyarrow"])
def test_the_lines_that_compare_a_day_give_its_differences(
    client: FlaskClient, settings: Settings, spark: SparkSession, tool: str
) -> None:
    answer = client.get("/api/comparison").get_json()
    computed = [row for row in run(offered(settings, "comparison", tool), spark) if str(row["day"]) == answer["day"]]
    shown = plain(answer["rows"], "product", "batch", "closed", "difference")
    assert sorted(rows_of(computed, "product", "batch", "stream", "difference")) == sorted(shown)


def test_the_lines_of_the_stream_give_its_sums(client: FlaskClient, settings: Settings, spark: SparkSession) -> None:
    now = client.get("/api/stream").get_json()["now"]
    (row,) = run(offered(settings, "stream", "PySpark"), spark)
    assert {name: row[name] for name in ("events", "counted", "repeated", "quarantined")} == {
        name: now[name] for name in ("events", "counted", "repeated", "quarantined")
    }


def test_the_lines_of_the_live_windows_give_their_newest_values(spark: SparkSession) -> None:
    with running() as broker:
        create_topic(broker.address, "product_revenue", cleanup_policy="compact")
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        values = [("Milk", "1.00"), ("Milk", "2.00"), ("Soap", "0.30"), ("Bread", "9.00"), ("Bread", None)]
        for product, revenue in values:
            fields = {"window_start": "2025-03-01T12:00:00Z", "product": product, "orders": 1, "revenue": revenue}
            producer.produce("product_revenue", json.dumps(fields) if revenue else None, key=product)
        assert producer.flush(30) == 0
        (snippet,) = snippets_of(Settings(kafka_bootstrap_servers=broker.address))["windows"]
        rows = rows_of(run(snippet, spark), "window_start", "orders", "revenue")
    assert rows == [("2025-03-01T12:00:00Z", "2", "2.3")]


@pytest.mark.skipif(archive() is None, reason="no archive of Hadoop: make artefacts")
def test_the_lines_for_pyarrow_give_the_numbers_from_hdfs_when_they_are_typed_into_python(
    client: FlaskClient, folder: Path, tmp_path: Path
) -> None:
    typed = []
    for panel, snippets in snippets_of(Settings(use_hdfs=True)).items():
        for snippet in snippets:
            if snippet.tool == "pyarrow":
                typed += [snippet.code, f"import json; print(json.dumps(['{panel}', rows.to_pylist()], default=str))\n"]
    home = tmp_path / "hdfs"
    home.mkdir()
    with running_hdfs(home) as hdfs:
        for name in ("analysis_parquet", "stores_parquet", "streaming_product_revenue", "quarantine"):
            for path in folder.with_name(name).rglob("[!.]*.parquet"):
                if ".snapshot" not in path.parts:
                    at = "/data" if name == "quarantine" else "/data/output"
                    hdfs.put(f"{at}/{path.relative_to(folder.parent)}", path.read_bytes())
        environment = {
            "PATH": os.environ["PATH"],
            "HADOOP_CONF_DIR": str(hdfs.configuration),
            "HADOOP_USER_NAME": "somebody",
        }
        done = subprocess.run(
            [sys.executable, "-i"], input="\n".join(typed), capture_output=True, text=True, env=environment, check=False
        )
    assert done.returncode == 0, done.stderr
    computed = dict(json.loads(line) for line in done.stdout.splitlines())
    assert computed.keys() == {*PANELS, "comparison"} - {"jobs"}, done.stderr
    for panel, (part, names) in PANELS.items():
        if panel != "jobs":
            shown = plain(client.get(f"/api/{panel}").get_json()[part], *names)
            assert sorted(rows_of(typed_again(computed[panel]), *names)) == sorted(shown)
    differences = {(row["product"], row["difference"]) for row in computed["comparison"]}
    shown_rows = client.get("/api/comparison").get_json()["rows"]
    assert {(row["product"], row["difference"]) for row in shown_rows} <= differences


def typed_again(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that were printed as JSON, with the types that their columns have."""
    types: dict[str, Callable[[str], object]] = {
        "quantity": Decimal, "revenue": Decimal, "window_start": datetime.fromisoformat
    }  # fmt: skip
    named = [{name.removesuffix("_sum"): value for name, value in row.items()} for row in rows]
    return [{name: types.get(name, str)(value) for name, value in row.items()} for row in named]


def test_on_a_cluster_they_read_from_hdfs_with_spark() -> None:
    found = snippets_of(Settings(use_hdfs=True, kafka_bootstrap_servers="worker1:9092"))
    assert {snippet.tool for snippets in found.values() for snippet in snippets} == {"PySpark", "pyarrow", "Python"}
    assert 'parquet("/data/output/analysis_parquet")' in found["products"][0].code
    assert "worker1:9092" in found["windows"][0].code

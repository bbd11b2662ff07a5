"""Lines that give the numbers of a panel without the dashboard, to be copied.

They are for PySpark and pyarrow, and for DuckDB where there is no HDFS, which it does not read. Each leaves what it
computed in `rows`. The tests run all of them and compare.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retail_webapp.settings import Settings

PACKAGES = Path(__file__).parents[1]
"""Where a dashboard that was deployed has its libraries, and anybody's Python finds them."""

MEASURES = "sum(orders) AS orders, sum(quantity) AS quantity, sum(revenue) AS revenue"


@dataclass(frozen=True)
class Snippet:
    """Some lines for one tool."""

    tool: str
    where: str
    """The shell that they are for, in words."""

    code: str


@lru_cache(maxsize=1)
def snippets_of(settings: Settings) -> Mapping[str, tuple[Snippet, ...]]:
    """The lines of each panel that has some, without its filters."""
    analysis, stores, closed = settings.analysis_path, settings.stores_path, settings.closed_path
    quarantined = f"{settings.quarantine_path}/*/*.parquet"
    by = f"SELECT {{}}, {MEASURES} FROM sales GROUP BY ALL ORDER BY {{}}"
    closed_windows = (
        "SELECT window_start, sum(orders) AS orders, sum(revenue) AS revenue FROM closed "
        "GROUP BY ALL ORDER BY window_start DESC"
    )
    reasons = "SELECT reason, count(*) AS records FROM ({}) AS r GROUP BY ALL ORDER BY records DESC, reason"
    exploded = "SELECT explode(reasons) AS reason FROM quarantine"
    unnested = "SELECT unnest(reasons) AS reason FROM quarantine"
    found = {
        # By store, an order counts once a day, however many products it has.
        "daily": (
            *_sql(settings, {"sales": stores}, by.format("order_date", "order_date DESC")),
            _pyarrow(settings, {"sales": stores}, _sums(["order_date"], order="order_date")),
        ),
        "products": (
            *_sql(settings, {"sales": analysis}, by.format("product", "revenue DESC, product")),
            _pyarrow(settings, {"sales": analysis}, _sums(["product"])),
        ),
        "categories": (
            *_sql(settings, {"sales": analysis}, by.format("category", "revenue DESC, category")),
            _pyarrow(settings, {"sales": analysis}, _sums(["category"])),
        ),
        "stores": (
            *_sql(settings, {"sales": stores}, by.format("store_id, store_city", "revenue DESC, store_id")),
            _pyarrow(settings, {"sales": stores}, _sums(["store_id", "store_city"])),
        ),
        "closed": (
            *_sql(settings, {"closed": closed}, closed_windows),
            _pyarrow(settings, {"closed": closed}, CLOSED_WINDOWS),
        ),
        "comparison": (
            *_sql(settings, {"sales": analysis, "closed": closed}, COMPARISON),
            _pyarrow(settings, {"sales": analysis, "closed": closed}, COMPARISON_OF_TABLES),
        ),
        "quarantine": (
            _pyspark({"quarantine": quarantined}, reasons.format(exploded)),
            *_duckdb(settings, {"quarantine": quarantined}, reasons.format(unnested)),
            _pyarrow(settings, {"quarantine": settings.quarantine_path}, REASONS),
        ),
        "stream": (Snippet("PySpark", "pyspark", _json(f"{settings.stream_path}/status.json")),),
        "jobs": (Snippet("Python", "python3 on the dashboard's host", _runs(settings.report_path)),),
    }
    if settings.kafka_bootstrap_servers:
        found["windows"] = (Snippet("PySpark", "pyspark", _windows(settings)),)
    return found


CLOSED_WINDOWS = """\
sums = closed.group_by("window_start").aggregate([("orders", "sum"), ("revenue", "sum")])
rows = sums.sort_by([("window_start", "descending")])"""

REASONS = """\
reasons = pa.table({"reason": pc.list_flatten(quarantine["reasons"])})
rows = reasons.group_by("reason").aggregate([([], "count_all")]).rename_columns(["reason", "records"])"""

COMPARISON_OF_TABLES = """\
hours = closed.filter(pc.equal(pc.minute(closed["window_start"]), 0))
hours = hours.append_column("day", pc.cast(hours["window_start"], pa.date32()))
batch, stream = (
    table.group_by([day, "product"]).aggregate([("revenue", "sum")]).rename_columns(["day", "product", name])
    for name, table, day in (("batch", sales, "order_date"), ("stream", hours, "day"))
)
days = batch.join(stream, ["day", "product"], join_type="full outer")
for name in ("batch", "stream"):
    money = pc.fill_null(pc.cast(days[name], pa.decimal128(30, 2)), Decimal(0))
    days = days.drop_columns(name).append_column(name, money)

rows = days.append_column("difference", pc.subtract(days["batch"], days["stream"]))"""


COMPARISON = """\
WITH streamed AS (
    SELECT CAST(window_start AS DATE) AS day, product, sum(revenue) AS stream
    FROM closed WHERE minute(window_start) = 0 GROUP BY ALL
), batched AS (
    SELECT order_date AS day, product, sum(revenue) AS batch FROM sales GROUP BY ALL
)
SELECT day, product, coalesce(batch, 0) AS batch, coalesce(stream, 0) AS stream,
       coalesce(batch, 0) - coalesce(stream, 0) AS difference
FROM batched FULL OUTER JOIN streamed USING (day, product) ORDER BY day DESC, abs(difference) DESC"""


def _sql(settings: Settings, tables: Mapping[str, str], query: str) -> tuple[Snippet, ...]:
    return _pyspark(tables, query), *_duckdb(settings, tables, query)


def _pyspark(tables: Mapping[str, str], query: str) -> Snippet:
    views = [f'spark.read.parquet("{path}").createOrReplaceTempView("{name}")' for name, path in tables.items()]
    code = ['spark.conf.set("spark.sql.session.timeZone", "UTC")', *views, f'rows = spark.sql("""\n{query}""")']
    return Snippet("PySpark", "pyspark", "\n".join(code))


def _duckdb(settings: Settings, tables: Mapping[str, str], query: str) -> tuple[Snippet, ...]:
    if settings.use_hdfs:
        return ()
    views = []
    for name, path in tables.items():
        files = path if path.endswith(".parquet") else f"{path}/*.parquet"
        if path in (settings.analysis_path, settings.stores_path):
            files = f"{path}/order_date=*/*.parquet"
        views.append(f"""duckdb.sql("CREATE OR REPLACE VIEW {name} AS FROM read_parquet('{files}')")""")
    code = ["import duckdb", """duckdb.sql("SET TimeZone = 'UTC'")""", *views, f'rows = duckdb.sql("""\n{query}""")']
    return (Snippet("DuckDB", "python3 with the package duckdb", "\n".join(code)),)


def _pyarrow(settings: Settings, tables: Mapping[str, str], code: str) -> Snippet:
    imports = ["from decimal import Decimal", "import pyarrow as pa, pyarrow.compute as pc, pyarrow.dataset as ds"]
    if settings.use_hdfs:
        # The client's files are not given to pyarrow itself: see `sources.stores.HdfsStore`.
        imports = ["import tempfile", *imports, "from hdfs_native.fsspec import HdfsFileSystem"]
        read = """\
    with tempfile.TemporaryDirectory() as folder:
        HdfsFileSystem().get(f"{path}/", folder, recursive=True)
        return ds.dataset(folder, partitioning=by_day).to_table()
"""
        configuration = os.environ.get("HADOOP_CONF_DIR", "/etc/hadoop")
        where = f"HADOOP_CONF_DIR={configuration} PYTHONPATH={PACKAGES} python3 on the dashboard's host"
    else:
        read = "    return ds.dataset(path, partitioning=by_day).to_table()\n"
        where = "python3 with the package pyarrow"
    by_day = 'by_day = ds.partitioning(pa.schema([("order_date", pa.date32())]), flavor="hive")'
    tables_read = (f'{name} = read("{path}")' for name, path in tables.items())
    return Snippet("pyarrow", where, "\n".join([*imports, by_day, "def read(path):", read, *tables_read, code]))


def _sums(keys: list[str], order: str = "revenue_sum") -> str:
    quoted = ", ".join(f'"{key}"' for key in keys)
    return f"""\
sums = sales.group_by([{quoted}]).aggregate([("orders", "sum"), ("quantity", "sum"), ("revenue", "sum")])
rows = sums.sort_by([("{order}", "descending")])"""


def _json(path: str) -> str:
    return f'rows = spark.read.json("{path}").select("events", "counted", "repeated", "quarantined", "watermark")'


def _runs(report: str) -> str:
    file = f"{report.rpartition('/')[0]}/runs.jsonl"
    return f'import json\nrows = [json.loads(line) for line in open("{file}", "rb")]'


def _windows(settings: Settings) -> str:
    return f'''\
spark.conf.set("spark.sql.session.timeZone", "UTC")
messages = (
    spark.read.format("kafka").option("kafka.bootstrap.servers", "{settings.kafka_bootstrap_servers}")
    .option("subscribe", "{settings.live_topic}").load()
)
messages.createOrReplaceTempView("messages")
rows = spark.sql("""
WITH newest AS (
    SELECT key, from_json(CAST(max_by(value, offset) AS STRING), 'window_start TIMESTAMP, product STRING,
        orders BIGINT, revenue DECIMAL(18, 2)') AS value
    FROM messages GROUP BY key
)
SELECT value.window_start, sum(value.orders) AS orders, sum(value.revenue) AS revenue
FROM newest WHERE value IS NOT NULL GROUP BY ALL ORDER BY window_start DESC""")'''

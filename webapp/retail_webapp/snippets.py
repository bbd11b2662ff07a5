"""Lines that give the numbers of a panel without the dashboard, to be copied.

They are for `pyspark`, and for DuckDB where there is no HDFS. Each leaves what it computed in `rows`. The tests run all
of them and compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from retail_webapp.settings import Settings

MEASURES = "sum(orders) AS orders, sum(quantity) AS quantity, sum(revenue) AS revenue"


@dataclass(frozen=True)
class Snippet:
    """Some lines for one tool."""

    tool: str
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
        "daily": _both(settings, {"sales": stores}, by.format("order_date", "order_date DESC")),
        "products": _both(settings, {"sales": analysis}, by.format("product", "revenue DESC, product")),
        "categories": _both(settings, {"sales": analysis}, by.format("category", "revenue DESC, category")),
        "stores": _both(settings, {"sales": stores}, by.format("store_id, store_city", "revenue DESC, store_id")),
        "closed": _both(settings, {"closed": closed}, closed_windows),
        "comparison": _both(settings, {"sales": analysis, "closed": closed}, COMPARISON),
        "quarantine": (
            Snippet("PySpark", _pyspark({"quarantine": quarantined}, reasons.format(exploded))),
            *_duckdb(settings, {"quarantine": quarantined}, reasons.format(unnested)),
        ),
        "stream": (Snippet("PySpark", _json(f"{settings.stream_path}/status.json")),),
        "jobs": (Snippet("Python", _runs(settings.report_path)),),
    }
    if settings.kafka_bootstrap_servers:
        found["windows"] = (Snippet("PySpark", _windows(settings)),)
    return found


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


def _both(settings: Settings, tables: Mapping[str, str], query: str) -> tuple[Snippet, ...]:
    return Snippet("PySpark", _pyspark(tables, query)), *_duckdb(settings, tables, query)


def _pyspark(tables: Mapping[str, str], query: str) -> str:
    views = [f'spark.read.parquet("{path}").createOrReplaceTempView("{name}")' for name, path in tables.items()]
    return "\n".join(
        ['spark.conf.set("spark.sql.session.timeZone", "UTC")', *views, f'rows = spark.sql("""\n{query}""")']
    )


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
    return (Snippet("DuckDB", "\n".join(code)),)


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

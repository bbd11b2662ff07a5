"""The batch against DuckDB doing the same work, against the plain Spark way, and one new day against all days.

    PYTHONPATH=jobs:dataset python -m bench.batch [--rows 10000000]

Makes CSVs of 60 days and five days more in a temporary folder (800 MB for 10 million rows; three times that is needed
with the results). Every engine runs in a process of its own on two cores, whose start is not counted. It does the
whole work five times, each time anew, and the best counts: in the first, Java's compiler has most of one core, and
others use the machine, too. All three write detail, revenue per day, quarantine and one CSV, the batch revenue by store
as well; the CSVs of the batch and of DuckDB must be equal.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F
from retail_jobs.batch import SPARK, Batch
from retail_jobs.session import open_session
from retail_jobs.settings import Settings

from bench import Ratio, show, spark_settings

DAYS, CORES, MEMORY, RUNS = 60, 2, "2g", 5
RESULT = "daily_revenue.csv"
COLUMNS = "order_date, product, category, brand, orders, quantity, revenue"

# One row in a hundred is dirty, one in two hundred says an earlier order again, a few of them otherwise.
LINES = """
SELECT concat_ws(',',
    'O' || lpad((CASE WHEN n % 200 = 199 THEN n - 5 ELSE n END)::VARCHAR, 10, '0'),
    CASE WHEN n % 500 = 3 THEN 'someday' WHEN n % 7 = 1 THEN strftime(moment, '%Y%m%d')
         WHEN n % 2 = 0 THEN strftime(moment, '%Y-%m-%dT%H:%M:%SZ') ELSE strftime(moment, '%Y-%m-%d') END,
    'S' || (o % 30)::VARCHAR, CASE WHEN o % 30 = 7 THEN '"Washington, DC"' ELSE 'The town of ' || (o % 30)::VARCHAR END,
    'Product number ' || (hash(o) % 50)::VARCHAR, (1 + o % 5)::VARCHAR, price::VARCHAR,
    CASE WHEN n % 300 = 5 THEN 'n/a' WHEN n % 400 = 6 THEN '-1.00' WHEN o % 10 = 2 THEN ''
         ELSE ((1 + o % 5) * price)::VARCHAR END)
    || CASE WHEN n % 1000 = 8 THEN ',one too many' ELSE '' END AS line
FROM (SELECT n, CASE WHEN n % 200 = 199 AND n % 10000 <> 199 THEN n - 5 ELSE n END AS o,
             ((o * 7919) % 10000 / 100 + 1)::DECIMAL(9,2) AS price,
             TIMESTAMP '2025-07-01 00:00:00' + to_days({day}) + to_seconds((o * 61) % 86400) AS moment
      FROM range({start}, {end}) numbers(n))
"""

DUCKDB = """
CREATE TEMP TABLE records AS
SELECT *, list_filter([CASE WHEN order_time IS NULL THEN 'unreadable_date' END,
                       CASE WHEN amount IS NULL THEN 'unreadable_amount' END,
                       CASE WHEN amount < 0 THEN 'negative_amount' END], lambda reason: reason IS NOT NULL) AS reasons
FROM (
    SELECT filename AS source, order_id, store_id, store_city, order_date AS date_text, amount AS amount_text,
           coalesce(try_cast(order_date AS TIMESTAMPTZ) AT TIME ZONE 'UTC', try_strptime(order_date, '%Y%m%d'))
               AS order_time,
           coalesce(nullif(trim(product), ''), 'UNKNOWN') AS product, quantity, unit_price,
           CASE WHEN coalesce(amount_text, '') = '' THEN try_cast(quantity * unit_price AS DECIMAL(18,2))
                ELSE try_cast(amount_text AS DECIMAL(18,2)) END AS amount
    FROM (
        SELECT * REPLACE (try_cast(quantity AS BIGINT) AS quantity, try_cast(unit_price AS DECIMAL(18,2)) AS unit_price)
        FROM read_csv('{source}/day-*.csv', all_varchar = true, header = true, store_rejects = true, filename = true)));

CREATE TEMP TABLE judged AS
SELECT rowid AS row,
       row_number() OVER one_file > 1 AND content IS DISTINCT FROM first(content) OVER one_file AS conflict,
       row_number() OVER (PARTITION BY order_id ORDER BY source DESC, rowid) = 1 AS kept
FROM (SELECT rowid, *, struct_pack(d := order_time::DATE, store_id, store_city, product, quantity, unit_price, amount)
             AS content
      FROM records
      WHERE len(reasons) = 0 AND order_id IN (
          SELECT order_id FROM records WHERE len(reasons) = 0 GROUP BY order_id HAVING count(*) > 1))
WINDOW one_file AS (PARTITION BY source, order_id ORDER BY rowid);

COPY (
    SELECT concat_ws(',', order_id, date_text, store_id, store_city, product, quantity, unit_price, amount_text) AS raw,
           CASE WHEN conflict THEN ['conflicting_duplicate'] ELSE reasons END AS reasons, source, now() AS at
    FROM records LEFT JOIN judged ON records.rowid = judged.row WHERE len(reasons) > 0 OR conflict
    UNION ALL BY NAME
    SELECT csv_line AS raw, ['malformed_row'] AS reasons, file_path AS source, now() AS at
    FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
) TO '{out}/quarantine.parquet';

CREATE TEMP VIEW clean AS
SELECT order_id, order_time, store_id, store_city, product, quantity, unit_price, amount, source,
       order_time::DATE AS order_date
FROM records LEFT JOIN judged ON records.rowid = judged.row
WHERE len(reasons) = 0 AND (judged.row IS NULL OR kept);
COPY (FROM clean) TO '{out}/transactions' (FORMAT parquet, PARTITION_BY (order_date));

CREATE TEMP TABLE daily AS
SELECT order_date, product, coalesce(category, 'UNKNOWN') AS category, coalesce(brand, 'UNKNOWN') AS brand,
       count(*) AS orders, coalesce(sum(quantity), 0)::BIGINT AS quantity, sum(amount)::DECIMAL(18,2) AS revenue
FROM read_parquet('{out}/transactions/*/*.parquet') LEFT JOIN read_csv('{source}/products.csv') USING (product)
GROUP BY ALL;
COPY (FROM daily) TO '{out}/analysis' (FORMAT parquet, PARTITION_BY (order_date));
COPY (FROM daily ORDER BY order_date, product) TO '{out}/daily_revenue.csv' (HEADER);
"""


def make_input(folder: Path, rows: int) -> None:
    """Write `rows` orders of 60 days to `folder/input`, and those of some days more to `folder/next`."""
    for name in ("input", "next"):
        (folder / name).mkdir()
    products = ["product,category,brand", *(f"Product number {n},Category {n % 7},Brand {n % 11}" for n in range(48))]
    (folder / "input" / "products.csv").write_text("\n".join(products) + "\n")
    header = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"
    per_day = rows // DAYS
    with duckdb.connect() as database:
        for day in range(DAYS + RUNS):
            lines = LINES.format(day=day, start=day * per_day, end=(day + 1) * per_day)
            plain = folder / "lines"
            database.execute(f"COPY ({lines}) TO '{plain}' (HEADER false, QUOTE '', ESCAPE '', DELIMITER e'\\x01')")
            file = folder / ("input" if day < DAYS else "next") / f"day-{day:02d}.csv"
            with file.open("wb") as target, plain.open("rb") as source:
                target.write(header.encode())
                shutil.copyfileobj(source, target)
            plain.unlink()


def best(work: Callable[[], object], out: Path) -> float:
    """The shortest of `RUNS` wall times of a call, in seconds, each with an empty folder; the last results stay."""
    times = []
    for _ in range(RUNS):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
        # Standard output is for the result.
        print(f"{out.name}: {times[-1]:.1f} s", file=sys.stderr)
    return min(times)


def task_seconds(spark: SparkSession) -> float:
    """Time that executors have spent on tasks so far, in seconds."""
    # Not from the list of executors: there, a local driver's time is the time since its start.
    context: Any = spark.sparkContext
    jvm = context._jvm
    none = context._gateway.new_array(jvm.double, 0)
    stages = context._jsc.sc().statusStore().stageList(None, False, False, none, jvm.java.util.ArrayList())
    return float(sum(stages.apply(number).executorRunTime() for number in range(stages.size()))) / 1000


def ours(folder: Path) -> dict[str, float]:
    """The batch of this project: all days, then one day more, and again one."""
    local = {
        **spark_settings(CORES, MEMORY),
        # A run makes more classes than Spark keeps, so each would have its own compiled anew.
        "spark.sql.codegen.cache.maxEntries": "1000",
    }
    spark = open_session("bench", {**SPARK, **local})

    out = folder / "ours"
    settings = Settings(use_hdfs=False, input_path=str(folder / "input"), output_path=str(out), csv_path=out / "csv")
    tasks: list[float] = []

    def batch() -> None:
        before = task_seconds(spark)
        Batch(settings, lambda _: spark).run()
        tasks.append(task_seconds(spark) - before)

    seconds = best(batch, out)
    shutil.copy(out / "csv" / RESULT, out / RESULT)
    for file in sorted((folder / "next").iterdir()):
        file.rename(folder / "input" / file.name)
        batch()
    spark.stop()
    return {"seconds": seconds, "tasks": min(tasks[:RUNS]), "day_tasks": min(tasks[RUNS:])}


def with_duckdb(folder: Path) -> dict[str, float]:
    """The same work in DuckDB."""
    out = folder / "duckdb"

    def batch() -> None:
        with duckdb.connect(config={"threads": CORES}) as database:
            database.execute("SET TimeZone = 'UTC'")
            database.execute(DUCKDB.format(source=folder / "input", out=out))

    return {"seconds": best(batch, out)}


def plain(folder: Path) -> dict[str, float]:
    """The same outputs as one would first write them in Spark: schema inferred, defaults, doubles, one by one.

    A row with too many fields passes, as Spark lets it by default.
    """
    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.driver.memory", MEMORY)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")

    out = folder / "plain"

    def batch() -> None:
        records = spark.read.csv(f"{folder}/input/day-*.csv", header=True, inferSchema=True)
        text = F.col("order_date").cast("string")
        day = F.coalesce(text.try_cast("timestamp"), F.try_to_timestamp(text, F.lit("yyyyMMdd")))
        computed = F.col("quantity") * F.col("unit_price")
        amount = F.when(F.col("amount").isNull(), computed).otherwise(F.col("amount").try_cast("double"))
        typed = (
            records.withColumn("source", F.input_file_name())
            .withColumn("row", F.monotonically_increasing_id())
            .withColumn("order_time", day)
            .withColumn("order_date", F.to_date(day))
            .withColumn("amount", amount)
        )
        reasons = F.array(
            F.when(F.col("order_date").isNull(), F.lit("unreadable_date")),
            F.when(F.col("amount").isNull(), F.lit("unreadable_amount")),
            F.when(F.col("amount") < 0, F.lit("negative_amount")),
        )
        judged = typed.withColumn("reasons", F.array_compact(reasons))
        usable = F.size("reasons") == 0
        content = F.struct("order_date", "store_id", "store_city", "product", "quantity", "unit_price", "amount")
        in_file = Window.partitionBy("source", "order_id").orderBy("row")
        compared = judged.where(usable).withColumn("conflict", ~content.eqNullSafe(F.first(content).over(in_file)))
        conflicts = compared.where("conflict").withColumn("reasons", F.array(F.lit("conflicting_duplicate")))
        bad = judged.where(~usable).unionByName(conflicts.drop("conflict"))
        bad.write.mode("overwrite").parquet(f"{out}/quarantine")
        latest = Window.partitionBy("order_id").orderBy(F.desc("source"), "row")
        clean = compared.where("not conflict").withColumn("place", F.row_number().over(latest)).where("place = 1")
        clean.drop("place", "conflict", "reasons", "row").write.mode("overwrite").partitionBy("order_date").parquet(
            f"{out}/transactions"
        )
        products = spark.read.csv(f"{folder}/input/products.csv", header=True, inferSchema=True)
        daily = (
            spark.read.parquet(f"{out}/transactions")
            .groupBy("order_date", "product")
            .agg(F.count("*").alias("orders"), F.sum("quantity").alias("quantity"), F.sum("amount").alias("revenue"))
            .join(products, "product", "left")
            .select(*COLUMNS.split(", "))
        )
        daily.write.mode("overwrite").partitionBy("order_date").parquet(f"{out}/analysis")
        with (out / RESULT).open("w", newline="") as file:
            csv.writer(file).writerows(daily.orderBy("order_date", "product").collect())

    return {"seconds": best(batch, out)}


ENGINES = {"duckdb": with_duckdb, "plain": plain, "ours": ours}


def measure(engine: str, folder: Path) -> dict[str, float]:
    """Run an engine in a process of its own."""
    command = [sys.executable, "-m", "bench.batch", "--engine", engine, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure and print; exit code 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(description="Speed of the batch.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(ENGINES[options.engine](options.folder)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_input(folder, options.rows)
        results = {engine: measure(engine, folder) for engine in ENGINES}
        if (folder / "ours" / RESULT).read_text() != (folder / "duckdb" / RESULT).read_text():
            raise SystemExit("the batch and DuckDB do not agree")
    full, rows = results["ours"], f"{options.rows:,} rows"
    ratios = [
        Ratio(f"full batch of {rows} / DuckDB, wall time", full["seconds"] / results["duckdb"]["seconds"], 3),
        Ratio(f"plain Spark / full batch of {rows}, wall time", results["plain"]["seconds"] / full["seconds"], 3, True),
        Ratio(f"one new day / all {DAYS} days, executor time", full["day_tasks"] / full["tasks"], 0.1),
    ]
    show(ratios)
    if not all(ratio.holds for ratio in ratios):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

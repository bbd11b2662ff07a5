"""Daily revenue as one would first write it in Spark: what `bench.small` compares the batch with.

    python bench/plain_batch.py INPUT OUTPUT

Schema inferred, other names of columns by rename, whatever cannot be read left out; no quarantine, no orders that come
again, no sums by store. Detail and revenue per day as Parquet, and one CSV.
"""

import csv
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

ALIASES = {"item": "product", "date": "order_date", "order_time": "order_date", "timestamp": "order_date"}
ALIASES |= {"price": "unit_price", "total": "amount", "total_price": "amount"}
COLUMNS = ("order_date", "product", "category", "brand", "orders", "quantity", "revenue")

source, target = Path(sys.argv[1]), Path(sys.argv[2])
spark = SparkSession.builder.appName("plain").config("spark.sql.session.timeZone", "UTC").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
records = None
for file in sorted(source.glob("*.csv")):
    if file.name == "products.csv":
        continue
    frame = spark.read.csv(str(file), header=True, inferSchema=True)
    names = [name.strip().lower() for name in frame.columns]
    frame = frame.toDF(*[ALIASES.get(name, name) for name in names])
    frame = frame.select(*[F.col(name).cast("string") for name in frame.columns])
    records = frame if records is None else records.unionByName(frame, allowMissingColumns=True)
assert records is not None
text = F.col("order_date")
day = F.to_date(F.coalesce(text.try_cast("timestamp"), F.try_to_timestamp(text, F.lit("yyyyMMdd"))))
computed = F.col("quantity").try_cast("int") * F.col("unit_price").try_cast("decimal(18,2)")
clean = (
    records.withColumn("order_date", day)
    .withColumn("product", F.coalesce("product", F.lit("UNKNOWN")))
    .withColumn("amount", F.coalesce(F.col("amount").try_cast("decimal(18,2)"), computed).cast("decimal(18,2)"))
    .where("order_date is not null and amount >= 0")
)
clean.write.mode("overwrite").partitionBy("order_date").parquet(f"{target}/transactions")
products = spark.read.csv(f"{source}/products.csv", header=True, inferSchema=True)
daily = (
    spark.read.parquet(f"{target}/transactions")
    .groupBy("order_date", "product")
    .agg(F.count("*").alias("orders"), F.sum("quantity").alias("quantity"), F.sum("amount").alias("revenue"))
    .join(products, "product", "left")
    .select(*COLUMNS)
)
daily.write.mode("overwrite").partitionBy("order_date").parquet(f"{target}/analysis")
with (target / "daily_revenue.csv").open("w", newline="") as out:
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(daily.orderBy("order_date", "product").collect())
spark.stop()

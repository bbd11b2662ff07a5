"""Spark's expressions and the data set's package read numbers and dates alike."""

from __future__ import annotations

import random
from datetime import UTC
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from retail_dataset.rules import Rules
from retail_dataset.table import parse_header
from retail_dataset.values import canonical_number, canonical_time
from retail_jobs import cleaning
from retail_jobs.csv_records import parse_lines

PATTERNS = ("M/d/yyyy H:mm", "MM/dd/yy", "d.M.yyyy[ H:mm:ss]", "d-MMM-yyyy", "d MMMM yyyy", "yyyy/M/d h:mm a",
            "yyyyMMddHHmm", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "dd/MM/yyyy HH:mm")  # fmt: skip


def number(dice: random.Random) -> str:
    if dice.random() < 0.3:
        return "".join(dice.choice("0123456789.,-+eE £€") for _ in range(dice.randrange(1, 9)))
    digits = (
        f"{dice.randrange(-(10 ** dice.randrange(1, 10)), 10 ** dice.randrange(1, 10)) / 100:,.{dice.randrange(4)}f}"
    )
    marks = dice.choice([(",", "."), (".", ","), ("\u00a0", ","), (" ", "."), ("", "."), ("", ",")])
    written = digits.replace(",", "_").replace(".", marks[1]).replace("_", marks[0])
    return dice.choice(["", "", "$", "€ "]) + written + dice.choice(["", "", "\u00a0€", " "])


def day(dice: random.Random) -> str:
    year, month, of_month, hour = (dice.randrange(*bounds) for bounds in ((1968, 2102), (1, 14), (1, 33), (0, 25)))
    forms = ("{m}/{d}/{y} {h}:05", "{m:02}/{d:02}/24", "{d}.{m}.{y}", "{d}.{m}.{y} {h:02}:05:59", "{d}-jun-{y}",
             "{d} March {y}", "{y}/{m}/{d} {h}:05 PM", "{y}{m:02}{d:02}{h:02}05", "{y}-{m:02}-{d:02}",
             "{y}-{m:02}-{d:02} {h:02}:05", "{y}-{m:02}-{d:02}T{h:02}:05:09.250+02:00", "{y}{m:02}{d:02}")  # fmt: skip
    return dice.choice(forms).format(y=year, m=month, d=of_month, h=hour)


def as_number(text: str) -> Decimal | None:
    try:
        number = Decimal(text).quantize(Decimal("0.000001"), ROUND_HALF_UP, Context(prec=60))
    except InvalidOperation:
        return None
    # Larger ones are none to Spark.
    return number if Decimal(text).adjusted() < 32 else None


@pytest.mark.parametrize("rules", [
    Rules(dates=PATTERNS, decimal=","), Rules(dates=PATTERNS, time_zone="Europe/London"),
    Rules(time_zone="America/New_York"),
], ids=str)  # fmt: skip
def test_spark_and_the_package_read_alike(spark: SparkSession, rules: Rules) -> None:
    dice = random.Random(rules.digest)
    rows = [(f"{day(dice)}\t{number(dice)}", place) for place in range(2000)]
    layout = parse_header("date\tamount", rules)
    records = parse_lines(spark.createDataFrame(rows, "raw string, place int"), layout)
    amounts = cleaning.bare_number(F.col("amount")).try_cast("decimal(38,6)")
    found = {row.place: row for row in records.select("place", "order_date", amounts.alias("number")).collect()}
    times = {row.place: row.order_time for row in cleaning.clean(records).select("place", "order_time").collect()}
    read = 0
    for raw, place in rows:
        date, amount = raw.split("\t")
        moment = canonical_time(date, rules.dates, rules.time_zone)
        assert times[place] == (moment and moment.astimezone(UTC).replace(tzinfo=None)), date
        assert found[place].number == as_number(canonical_number(amount, rules.decimal)), amount
        read += moment is not None and found[place].number is not None
    assert read > 250

"""Small data, as classes have it: the whole cold process of the batch against that of a plain Spark script.

    PYTHONPATH=jobs:dataset python -m bench.small [--runs 3]

The sample month; 12,000 rows over 1,100 days; and a run with nothing new. Every run is a process of its own with empty
folders, from its start to its end, the two programs in turn; the shortest time of each counts, because others use the
machine, too.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from bench import Ratio, show

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "input"
ROWS, DAYS = 12_000, 1_100


def make_years(folder: Path) -> None:
    """Write the orders of three years, a few each day, in one file per year."""
    folder.mkdir()
    shutil.copy(SAMPLE / "products.csv", folder)
    products = [line.split(",")[0] for line in (SAMPLE / "products.csv").read_text().splitlines()[1:]]
    choose = random.Random(1)
    lines: dict[int, list[str]] = {}
    for number in range(ROWS):
        day = date(2022, 1, 1) + timedelta(days=number * DAYS // ROWS)
        quantity, price = choose.randint(1, 5), f"{choose.randint(1, 90)}.{choose.randint(0, 99):02d}"
        store = choose.randint(1, 20)
        line = f"Y{number:06d},{day},S{store:03d},Town {store},{choose.choice(products)},{quantity},{price},"
        lines.setdefault(day.year, []).append(line)
    header = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount"
    for year, rows in lines.items():
        (folder / f"sales-{year}.csv").write_text("\n".join([header, *rows, ""]))


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Wall time of a process.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began = time.perf_counter()
    subprocess.run(command, env=os.environ | environment, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def ours(source: Path, out: Path) -> float:
    """A run of the batch."""
    environment = {
        "USE_HDFS": "false",
        "INPUT_PATH": str(source),
        "OUTPUT_PATH": str(out),
        "CSV_PATH": str(out / "csv"),
    }
    return seconds([sys.executable, "-m", "retail_jobs.batch"], environment)


def plain(source: Path, out: Path) -> float:
    """A run of the plain script."""
    return seconds([sys.executable, str(ROOT / "bench" / "plain_batch.py"), str(source), str(out)], {})


def main() -> None:
    """Measure and print; exit code 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(description="Speed of the batch on small data.")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_years(folder / "years-input")
        for run in range(options.runs):
            for what, source in (("small", SAMPLE), ("years", folder / "years-input")):
                for who, program in (("ours", ours), ("plain", plain)):
                    out = folder / f"{what}-{who}"
                    shutil.rmtree(out, ignore_errors=True)
                    out.mkdir()
                    times.setdefault(f"{what} {who}", []).append(program(source, out))
            times.setdefault("nothing new", []).append(ours(SAMPLE, folder / "small-ours"))
            print(f"run {run}: " + ", ".join(f"{what} {taken[-1]:.1f} s" for what, taken in times.items()), flush=True)
    best = {what: min(taken) for what, taken in times.items()}
    ratios = [
        Ratio("small: sample month, whole process / plain Spark script", best["small ours"] / best["small plain"], 1),
        Ratio(f"years: {ROWS:,} rows of {DAYS:,} days / plain script", best["years ours"] / best["years plain"], 0.5),
        Ratio("nothing new / small, whole process", best["nothing new"] / best["small ours"], 0.3),
    ]
    show(ratios)
    if not all(ratio.holds for ratio in ratios):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

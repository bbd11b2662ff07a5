"""All samples on the cluster, in sub-folders of one input: through the batch, and through producer and stream.

Files run in the order of their names, so nobody after these needs the input as it was.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from retail_dataset.files import input_files
from retail_dataset.rules import DataSet

from tests.commands import run, wait_for
from tests.conftest import Cluster
from tests.test_cluster import fetch_json
from tools.data.oracle import compare, daily_revenue
from tools.data.sales_files import look_at
from tools.testing.samples import EXPECTED, SAMPLES, add_to, expected, published, rows_of

UNUSABLE = "broken_beside_good"
"""The sample that `make batch` refuses, so that it comes into HDFS by another way."""
GOOD = [sample for sample in EXPECTED if sample != UNUSABLE]


@dataclass(frozen=True)
class Published:
    """What a batch over the samples left.

    Attributes:
        input: A copy of what the batch has read.
        files: The batch's state of each file, by its path below the input folder.
        daily: Rows of `daily_revenue.csv`.
        by_store: Rows of `revenue_by_store.csv`.
    """

    input: Path
    files: dict[str, dict[str, Any]]
    daily: list[dict[str, str]]
    by_store: list[dict[str, str]]


@pytest.fixture(scope="module")
def batch(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder, results = cluster.lab.data / "input", cluster.lab.data / "output" / "analysis_csv"
    add_to(folder, GOOD)
    put = (
        "d=$(mktemp -d) && chmod 755 $d && tar --extract --directory $d && as='sudo -u retail hdfs dfs' && "
        f"$as -mkdir -p /data/input/samples && $as -put $d/{UNUSABLE} /data/input/samples && rm -r $d"
    )
    send = 'tar --create --directory "$0" "$1" | "${@:2}"'
    run("bash", "-c", send, str(SAMPLES), UNUSABLE, *cluster.ssh_words("edge1", put))
    cluster.make("batch")
    state = cluster.ssh("edge1", "sudo -u retail hdfs dfs -cat /data/state/batch/state.json 2>/dev/null").output
    read = tmp_path_factory.mktemp("read") / "input"
    shutil.copytree(folder, read)
    shutil.copytree(SAMPLES / UNUSABLE, read / "samples" / UNUSABLE)
    daily, by_store = (rows_of(results / name) for name in ("daily_revenue.csv", "revenue_by_store.csv"))
    return Published(read, json.loads(state)["files"], daily, by_store)


@pytest.mark.parametrize("sample", EXPECTED)
def test_a_sample_comes_out_of_the_batch_exactly(batch: Published, sample: str) -> None:
    wanted = expected(sample)
    # No two samples have a day in common.
    days = {cell.partition("|")[0] for cell in wanted["cells"]}
    files = [file for name, file in batch.files.items() if name.startswith(f"samples/{sample}/")]
    assert {
        "rows": sum(file["rows"] for file in files),
        "clean": sum(file["clean"] for file in files),
        "quarantined": sum((Counter(file["reasons"]) for file in files), Counter()),
        **published(
            [row for row in batch.daily if row["order_date"] in days],
            [row for row in batch.by_store if row["order_date"] in days],
        ),
    } == wanted


def test_all_samples_together_equal_the_oracle(batch: Published) -> None:
    assert compare(daily_revenue(batch.input), batch.daily) == []


def revenue_as_of_now(sample: str) -> Counter[str]:
    """Revenue by product, in cents, when every row happens now: one whose date cannot be read counts, too."""
    cents: Counter[str] = Counter()
    for cell, (revenue, _) in expected(sample)["cells"].items():
        cents[cell.partition("|")[2]] += int(revenue * 100)
    for name in input_files(SAMPLES / sample):
        for row in look_at(SAMPLES / sample, name, DataSet.read(SAMPLES / sample).for_file(name)).rows:
            if row.reason == "unreadable date" and row.amount is not None:
                cents[row.fields["product"]] += int(row.amount * 100)
    return cents


def test_all_samples_come_through_producer_and_stream_exactly(cluster: Cluster, batch: Published) -> None:
    wanted = sum(map(revenue_as_of_now, GOOD), Counter[str]())

    def found() -> Counter[tuple[str, str]]:
        """Revenue in cents by window and product; of the windows that begin at the full hour, an event is in one."""
        cents: Counter[tuple[str, str]] = Counter()
        for product in wanted:
            answer = fetch_json(f"{cluster.lab.url('dashboard')}/api/windows?product={quote(product, safe='')}")
            for row in answer["rows"]:
                if ":00:00" in row["window_start"]:
                    cents[row["window_start"], product] = int(Decimal(row["revenue"]) * 100)
        return cents

    def since(before: Counter[tuple[str, str]]) -> Counter[str]:
        cents: Counter[str] = Counter()
        for (_, product), revenue in (found() - before).items():
            cents[product] += revenue
        return cents

    def rests() -> bool:
        """Whether a few micro-batches change nothing."""
        before = found()
        time.sleep(20)
        return found() == before

    cluster.ssh("edge1", "sudo systemctl stop retail-producer")
    try:
        wait_for("the stream has all that was sent", rests)
        before = found()
        # As the unit has it, but over the samples alone, each of them once.
        properties = (
            "User=retail-producer",
            "EnvironmentFile=/etc/retail/producer.env",
            "Environment=PYTHONPATH=/opt/retail-producer:/opt/retail-dataset",
            "TemporaryFileSystem=/run/sales",
            *(
                f"BindReadOnlyPaths=/var/lib/retail/input/{name}:/run/sales/{name}"
                for name in ("samples", "dataset.toml", "products.csv")
            ),
        )
        options = " ".join(f"--property={row}" for row in properties)
        command = "/usr/bin/python3 -m retail_producer --no-loop --rate 0 --input /run/sales"
        said = cluster.ssh("edge1", f"sudo systemd-run --wait --pipe --quiet {options} {command}").output
        assert "events delivered" in said
        wait_for("the events of the samples in the live windows", lambda: since(before) == wanted)
    finally:
        cluster.ssh("edge1", "sudo systemctl start retail-producer")

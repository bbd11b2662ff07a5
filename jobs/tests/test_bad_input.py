"""Forms of bad input, all in one run: each ends in the right result or in the quarantine with its reason."""

from __future__ import annotations

import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession
from retail_dataset.text import LONGEST_LINE
from retail_jobs import ingest
from retail_jobs.batch import Batch
from retail_jobs.errors import JobError
from retail_jobs.inputs import require_unchanged
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage

HEADER = "order_id,order_date,store_id,store_city,product,quantity,unit_price,amount\n"


def row(order: str, day: str = "2025-09-01", city: str = "Bonn", amount: str = "1.00") -> str:
    return f"{order},{day},S1,{city},Tea,1,1.00,{amount}\n"


@dataclass(frozen=True)
class Case:
    """A file; what it brings to the transactions (order, city, amount), and the reasons of what it does not."""

    content: bytes | str
    clean: tuple[tuple[str, str, str], ...] = ()
    reasons: tuple[str, ...] = ()


CASES = {
    "empty.csv": Case(""),
    "empty.csv.gz": Case(gzip.compress(b"")),
    "header only.csv": Case(HEADER),
    "header without end.csv": Case(HEADER.strip()),
    "blank lines.csv": Case(HEADER + "\n  \n" + row("a1") + "\n", (("a1", "Bonn", "1.00"),)),
    "repeated header.csv": Case(
        HEADER + row("b1") + HEADER + row("b2"), tuple((x, "Bonn", "1.00") for x in ("b1", "b2"))
    ),
    "semicolons.csv": Case((HEADER + row("c1")).replace(",", ";"), (("c1", "Bonn", "1.00"),)),
    "tabs.csv": Case((HEADER + row("c2")).replace(",", "\t"), (("c2", "Bonn", "1.00"),)),
    "bars.csv": Case((HEADER + row("c3")).replace(",", "|"), (("c3", "Bonn", "1.00"),)),
    "mark.csv": Case(("\ufeff" + HEADER + row("d1")).encode(), (("d1", "Bonn", "1.00"),)),
    "latin-1.csv": Case((HEADER + row("e1", city="Köln")).encode("latin-1"), (("e1", "Köln", "1.00"),)),
    "latin-1 header.csv": Case(("prüfer," + HEADER + "x," + row("e2")).encode("latin-1"), (("e2", "Bonn", "1.00"),)),
    "latin-1 orders.csv": Case(
        (HEADER + 2 * "".join(row(f"s{letter}", city="Köln") for letter in "é°üÿ")).encode("latin-1"),
        tuple((f"s{letter}", "Köln", "1.00") for letter in "°éüÿ"),
    ),
    # The same order: if anything in a line is not UTF-8, all of it is Windows-1252.
    "mixed orders.csv": Case(
        HEADER.encode() + row("tÃ¼", city="Köln").encode("latin-1") + row("tÃ¼", city="Köln").encode(),
        (("tÃ¼", "Köln", "1.00"),),
    ),
    "windows.csv": Case((HEADER + row("f1")).replace("\n", "\r\n"), (("f1", "Bonn", "1.00"),)),
    "long line.csv": Case(
        HEADER + row("g1", city="x" * 100_000_000) + row("g2"), (("g2", "Bonn", "1.00"),), ("line_too_long",)
    ),
    "packed.csv.gz": Case(gzip.compress((HEADER + row("h1")).encode()), (("h1", "Bonn", "1.00"),)),
    "[odd] {name} *.csv": Case(HEADER + row("i1"), (("i1", "Bonn", "1.00"),)),
    "CAPITALS.CSV": Case(HEADER.upper() + row("j1"), (("j1", "Bonn", "1.00"),)),
    "null bytes.csv": Case(
        HEADER + row("k1", amount="1\0.00") + row("k2", city="Bo\0nn"),
        (("k2", "Bo\0nn", "1.00"),),
        ("unreadable_amount",),
    ),
    "only null bytes.csv": Case(HEADER + "\0\0\0\n", (), ("malformed_row",)),
    "past and future.csv": Case(
        HEADER + row("l1", day="1900-01-01") + row("l2", day="2999-12-31"), (), ("date_out_of_range",) * 2
    ),
    "no such day.csv": Case(HEADER + row("m1", day="2025-02-30"), (), ("unreadable_date",)),
    "huge.csv": Case(
        HEADER + row("n1", amount="100000000000000000000") + row("n2", amount="1e10"),
        (),
        ("amount_out_of_range", "unreadable_amount"),
    ),
    "quotes.csv": Case(
        HEADER + row("o1", city='"Washington, ""DC"""') + row("o2", city='"open'),
        (("o1", 'Washington, "DC"', "1.00"),),
        ("malformed_row",),
    ),
    "quoted orders.csv": Case(
        HEADER + row('"q1"') + row("q1") + row('"q,2"') + row('"q,2"', amount="2.00"),
        (("q,2", "Bonn", "1.00"), ("q1", "Bonn", "1.00")),
        ("conflicting_duplicate",),
    ),
    "separators.csv": Case(
        HEADER + row("r1", city=f'"{"," * 200}"') + row("r2", city=f'"{"," * 300}"') + row("r3", city="," * 300),
        (("r1", "," * 200, "1.00"),),
        ("malformed_row",) * 2,
    ),
    "other.csv": Case("colour,weight\nred,3\n", (), ("unknown_header", "unknown_header")),
    "being copied.csv._COPYING_": Case(HEADER + row("p1")),
    "picture.csv": Case(b"\x89PNG\r\n\x1a\n\xff\xfe\n", (), ("unknown_header",) * 3),
}


@dataclass(frozen=True)
class Results:
    """What came out, by name of the file."""

    clean: dict[str, list[tuple[str, str, str]]]
    quarantine: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=[ingest.SMALL, 0], ids=["at once", "in parts"])
def results(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Results:
    root = tmp_path_factory.mktemp("bad-input")
    (root / "input").mkdir()
    for name, case in CASES.items():
        content = case.content.encode() if isinstance(case.content, str) else case.content
        (root / "input" / name).write_bytes(content)
    settings = Settings(
        use_hdfs=False, input_path=str(root / "input"), output_path=str(root / "output"), csv_path=root / "csv"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "SMALL", request.param)
        report = Batch(settings, lambda _: spark).run()
    assert report.rows_read == report.clean + report.quarantined
    clean, quarantine = defaultdict(list), defaultdict(list)
    for found in spark.read.parquet(str(root / "output" / "transactions")).collect():
        clean[file_name(found.source)].append((found.order_id, found.store_city, str(found.amount)))
    for record in ds.dataset(root / "output" / "quarantine" / "batch").to_table().to_pylist():
        assert record["run_id"] == report.run_id and record["quarantined_at"] is not None
        quarantine[file_name(record["source"])].append(record)
    return Results(clean, quarantine)


def file_name(source: str) -> str:
    return unquote(source).rsplit("/", 1)[-1]


@pytest.mark.parametrize("name", CASES)
def test_bad_input(results: Results, name: str) -> None:
    assert tuple(sorted(results.clean.get(name, []))) == CASES[name].clean
    found = results.quarantine.get(name, [])
    assert sorted(reason for record in found for reason in record["reasons"]) == sorted(CASES[name].reasons)


def test_the_text_of_a_record_is_kept_up_to_a_length(results: Results) -> None:
    [record] = results.quarantine["quotes.csv"]
    assert record["raw"] == row("o2", city='"open').strip()
    [record] = results.quarantine["long line.csv"]
    assert len(record["raw"]) == LONGEST_LINE and record["raw"].startswith("g1,2025-09-01,S1,xxx")


def test_a_file_that_grows_while_it_is_read_stops_the_publication(spark: SparkSession, tmp_path: Path) -> None:
    file, storage = tmp_path / "a.csv", Storage()
    file.write_text(HEADER + row("1"))
    found = storage.files(f"file:{tmp_path}")
    require_unchanged(storage, found)
    file.write_text(HEADER + row("1") + row("2"))
    with pytest.raises(JobError, match=r"a\.csv changed"):
        require_unchanged(storage, found)

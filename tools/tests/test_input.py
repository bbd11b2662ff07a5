"""What `make input` and the look before a deployment say of files, most of them the samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from retail_dataset.rules import DataSet

from tools.data.input import show
from tools.data.oracle import compute
from tools.data.proposal import as_toml, propose
from tools.data.sales_files import doubts, look_at, objections
from tools.terminal import Problem
from tools.testing.samples import EXPECTED, SAMPLES

RULES = "dataset.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def put(folder: Path, text: str, name: str = "a.csv") -> None:
    (folder / name).write_text(text, encoding="utf-8")


def doubts_of(folder: Path, name: str = "a.csv") -> str:
    return "\n".join(doubts(look_at(folder, name, DataSet.read(folder).for_file(name))))


@pytest.mark.parametrize("sample", [name for name in EXPECTED if name != "broken_beside_good"])
def test_nothing_is_objected_to_a_sample_with_its_rules(sample: str) -> None:
    assert list(objections(SAMPLES / sample)) == []


@pytest.mark.parametrize("sample", [name for name in EXPECTED if (SAMPLES / name / RULES).exists()])
def test_what_is_proposed_for_a_sample_without_its_rules_brings_its_revenue(sample: str, folder: Path) -> None:
    shutil.copytree(SAMPLES / sample, folder, dirs_exist_ok=True)
    (folder / RULES).unlink()
    assert list(objections(folder)) != []
    show(folder, write=True)
    assert list(objections(folder)) == []
    assert compute(folder).rows == compute(SAMPLES / sample).rows
    assert propose(folder, DataSet.read(folder)) == {}


def test_files_that_differ_get_rules_of_their_own(folder: Path) -> None:
    put(folder, "Datum;Betrag\n31.12.2024;1.234,50\n", "a [1].csv")
    put(folder, "date,amount\n2024-12-31,1.50\n", "b.csv")
    proposal = as_toml(propose(folder, DataSet()))
    assert [rules.match for rules in DataSet.parse(proposal).files] == ["a [[]1].csv"]
    put(folder, proposal, RULES)
    assert sum(row.revenue for row in compute(folder).rows) == 1236


def test_a_damaged_and_a_foreign_file_are_refused_with_what_to_do() -> None:
    damaged, foreign = objections(SAMPLES / "broken_beside_good")
    assert "damaged.csv.gz cannot be read to its end" in damaged and "Bring it again" in damaged
    assert "long.csv lacks a date and an amount (or quantity and unit price)" in foreign
    assert "make input WRITE=1" in foreign and "order_id,order_date" in foreign


def test_a_folder_without_sales_and_a_rule_that_means_nothing_are_refused(folder: Path) -> None:
    put(folder, "product\nTea\n", "products.csv")
    [nothing] = objections(folder)
    assert "make sample-data" in nothing
    with pytest.raises(Problem, match="make sample-data"):
        show(folder, write=False)
    put(folder, "date,amount\n2024-12-31,1\n")
    put(folder, 'decimals = ","', RULES)
    [unknown] = objections(folder)
    assert "did you mean 'decimal'?" in unknown


def test_a_catalogue_without_its_column_is_refused(folder: Path) -> None:
    put(folder, "date,amount\n2024-12-31,1\n")
    put(folder, "id,name\n1,Tea\n", "products.csv")
    [found] = objections(folder)
    assert "products.csv has no column product or item (id,name)" in found


def test_orders_of_several_rows_are_doubtful(folder: Path) -> None:
    put(folder, "order_id,date,product,amount\n1,2024-12-31,Tea,1\n1,2024-12-31,Milk,2\n")
    assert "1 orders have several rows that differ, '1' for instance" in doubts_of(folder)
    put(folder, 'orders = "lines"', RULES)
    assert doubts_of(folder) == ""


@pytest.mark.parametrize(
    ("day", "ambiguous"), [("1/2/2024", True), ("13/2/2024", False), ("2/2/2024", False), ("2/13/2024", False)]
)
def test_a_day_that_may_be_a_month_is_doubtful(folder: Path, day: str, ambiguous: bool) -> None:
    put(folder, f"date,amount\n{day},1\n")
    put(folder, f"dates = {json.dumps(['d/M/yyyy'] if day.startswith('13') else ['M/d/yyyy'])}", RULES)
    assert ("the other way round" in doubts_of(folder)) == ambiguous


def test_two_decimal_marks_are_doubtful(folder: Path) -> None:
    put(folder, 'date,amount\n2024-12-31,"1,50"\n2024-12-31,1.50\n')
    assert "two decimal marks" in doubts_of(folder)


def test_the_screen_shows_how_a_file_is_read_and_what_will_count(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "windows.csv").write_bytes("Order ID;Date;Item;Amount\n7;2024-05-01;Café;£1,000.50\n".encode("cp1252"))
    show(folder, write=False)
    shown = capsys.readouterr().out
    assert "Windows-1252, semicolons, header in line 1" in shown
    assert "columns: order_id = Order ID, order_date = Date, product = Item, amount = Amount" in shown
    assert "2024-05-01  order 7  - x 'Café'  1000.50" in shown

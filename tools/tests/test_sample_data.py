import csv
import io
from pathlib import Path

import pytest

from tools.data import sample_data

ROOT = Path(__file__).parents[2]


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_the_same_seed_gives_the_same_text() -> None:
    assert sample_data.make_month("2025-09", 500, 7) == sample_data.make_month("2025-09", 500, 7)
    assert sample_data.make_month("2025-09", 500, 7) != sample_data.make_month("2025-09", 500, 8)


def test_the_checked_in_files_are_what_the_defaults_make() -> None:
    made = {**sample_data.make_month("2025-09", 4000, 20250901), "products.csv": sample_data.products_csv()}
    assert {name: (ROOT / "data/input" / name).read_text(encoding="utf-8") for name in made} == made


def test_every_kind_of_dirt_is_there() -> None:
    files = sample_data.make_month("2025-11", 1000, 1)
    assert len({text.splitlines()[0] for text in files.values()}) == len(files)
    everything = [row for text in files.values() for row in rows(text)[1:]]
    cells = {cell for row in everything for cell in row}
    lengths = {len(row) for row in everything}
    assert {"n/a", "yesterday", "", "2025-13-45", "Washington, DC", sample_data.UNLISTED[0]} <= cells
    assert any(cell.startswith("-") and cell[1:].replace(".", "").isdigit() for cell in cells)
    assert lengths == {5, 8, 10}
    assert len({tuple(row) for row in everything}) < len(everything)
    assert sample_data.UNLISTED[0] not in sample_data.products_csv()


def test_one_order_says_two_things_in_one_file() -> None:
    text = sample_data.make_month("2025-11", 1000, 1)["transactions_2025-11_2.csv"]
    quantities: dict[str, set[str]] = {}
    for row in rows(text)[1:]:
        quantities.setdefault(row[0], set()).add(row[5])
    assert sum(len(values) > 1 for values in quantities.values()) == 1


def test_another_month_keeps_to_itself() -> None:
    text = "".join(sample_data.make_month("2025-10", 400, 1).values())
    assert "2025-10-31" in text
    assert "2025-09" not in text
    assert "2025-11" not in text


@pytest.mark.parametrize("arguments", [["--month", "September"], ["--rows", "3"]])
def test_a_wrong_option_is_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        sample_data.main([*arguments, "--out", str(tmp_path)])
    assert refused.value.code == 2

"""Sample rows that tests share."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

BatchRow = tuple[str, str, str, int, int, str]
WriteDay = Callable[[date, list[BatchRow]], Path]

DAY_1 = date(2025, 3, 1)
DAY_2 = date(2025, 3, 2)
DAY_3 = date(2025, 3, 3)

MILK, BREAD, SOAP = "Milk 1 l", "Bread", "Soap"
MONTH: dict[date, list[BatchRow]] = {
    # Sums that binary floating point gets wrong: 0.10 + 0.20, and more digits than a float holds.
    DAY_1: [
        (MILK, "Food", "Alpine", 3, 5, "0.10"),
        (BREAD, "Food", "Crust", 2, 2, "0.20"),
        (SOAP, "Household", "Clean & Co", 1, 1, "9007199254740993.01"),
    ],
    DAY_2: [(MILK, "Food", "Alpine", 1, 1, "1.10"), ("Mystery", "UNKNOWN", "UNKNOWN", 1, 1, "7.00")],
    DAY_3: [(BREAD, "Food", "Crust", 4, 4, "2.20"), (SOAP, "Household", "Clean & Co", 2, 6, "0.01")],
}

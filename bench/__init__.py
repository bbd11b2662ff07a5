"""Benchmarks: each prints ratios of one run, which hold on any machine, beside what they are meant to be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RATIOS = "BENCH_RATIOS"
"""Environment variable: the file to which ratios are added, for the table of all benchmarks."""


@dataclass(frozen=True)
class Ratio:
    """A measured ratio and its bound.

    Attributes:
        what: What was compared with what.
        value: The ratio.
        bound: What it should be at most, or at least.
        at_least: Which of the two the bound is.
    """

    what: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the bound holds."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def show(ratios: Iterable[Ratio]) -> None:
    """Print ratios as a table, and keep them for the one of all benchmarks."""
    ratios = list(ratios)
    if kept := os.environ.get(RATIOS):
        with Path(kept).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(ratio)) + "\n" for ratio in ratios)
    table = Table("what", "measured", "should be", "")
    for ratio in ratios:
        bound = f"{'at least' if ratio.at_least else 'at most'} {ratio.bound:g}"
        table.add_row(ratio.what, f"{ratio.value:.2f}", bound, "OK" if ratio.holds else "missed")
    Console().print(table)


def spark_settings(cores: int, memory: str) -> dict[str, str]:
    """Settings of a Spark on this machine, with the garbage collector of those that the roles start."""
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC",
        "spark.ui.enabled": "false",
    }

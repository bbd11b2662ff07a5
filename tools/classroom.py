"""The drills of a class: who played what, how long, with how many hints, with which grade.

    python -m tools.classroom FOLDER

FOLDER has a folder for each student, of any name, with the results from `.cache/drills/results` in it. Written there:
class.html, one file that needs no network, and class.csv. Nobody is named but by those folders.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.drills import records
from tools.terminal import Problem, console, run

POINTS = ("cause", "place", "evidence", "chain")
NUMBERS = ("seed", "started", "hints", "wrong_tries", "verdicts_no", *POINTS, "grade")
TIMES = ("noticed", "located", "mended")
COLUMNS = (
    *("student", "drill", "seed", "started", "solved", "solution_shown", "noticed", "located", "mended", "hints"),
    *("wrong_tries", "verdicts_no", *POINTS, "grade", "signature"),
)


@dataclass(frozen=True)
class Played:
    """A drill that a student played.

    Attributes:
        student: Name of the folder.
        result: As tools/drills/records.py writes it.
        worth: What its signature is worth: `signed`, `forged`, or nothing.
    """

    student: str
    result: Mapping[str, Any]
    worth: str

    @property
    def started(self) -> str:
        """When the story was told, UTC."""
        return time.strftime("%F %R", time.gmtime(self.result["started"]))

    @property
    def row(self) -> dict[str, str]:
        """Its row in the CSV; times in seconds since the story."""
        values = {**self.result, "student": self.student, "started": self.started, "signature": self.worth}
        return {name: _cell(values[name]) for name in COLUMNS}


@dataclass(frozen=True)
class Student:
    """All that a student played, the oldest first."""

    name: str
    played: Sequence[Played]

    @property
    def best(self) -> dict[str, int]:
        """By drill, the best grade; a forged one counts nothing."""
        found: dict[str, int] = {}
        for one in self.played:
            grade = 0 if one.worth == "forged" else one.result["grade"]
            found[one.result["drill"]] = max(grade, found.get(one.result["drill"], 0))
        return found

    @property
    def solved(self) -> int:
        """How many drills were solved at least once."""
        return len({one.result["drill"] for one in self.played if one.result["solved"] and one.worth != "forged"})

    @property
    def hints(self) -> int:
        """Hints in all."""
        return sum(one.result["hints"] for one in self.played)

    @property
    def minutes(self) -> int:
        """Minutes to mend, of all that was mended."""
        return round(sum(one.result["mended"] or 0 for one in self.played) / 60)


def read(folder: Path) -> list[Student]:
    """The students of a folder, by name.

    Raises:
        Problem: It has none, or a file is no result.
    """
    if not folder.is_dir():
        raise Problem(f"There is no folder {folder}. Make it, with a folder of results for each student in it.")
    students = [Student(path.name, list(_played(path))) for path in sorted(folder.iterdir()) if path.is_dir()]
    students = [student for student in students if student.played]
    if not students:
        raise Problem(
            f"{folder} holds no results: put a folder for each student there, with the files of "
            ".cache/drills/results of where the drills were played."
        )
    return students


def _played(folder: Path) -> Iterator[Played]:
    for path in sorted(folder.rglob("*.json")):
        try:
            result, worth = records.read_result(path)
            right = (
                isinstance(result["drill"], str)
                and all(type(result[name]) is int for name in NUMBERS)
                and all(result[name] is None or type(result[name]) is int for name in TIMES)
                and all(type(result[name]) is bool for name in ("solved", "solution_shown"))
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(f"{path} is no result of a drill ({error!r}): take it away.") from error
        if not right:
            raise Problem(f"{path} is no result of a drill (a value of another kind): take it away.")
        yield Played(folder.name, result, worth)


def _cell(value: object) -> str:
    """A value as text that no spreadsheet takes for a formula."""
    text = "" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def page(students: Sequence[Student]) -> str:
    """The report as HTML, in one file."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    drills = sorted({drill for student in students for drill in student.best})
    return environment.get_template("classroom.html").render(students=students, drills=drills, points=POINTS)


def report(folder: Path) -> None:
    """Write the report of a folder.

    Raises:
        Problem: There is nothing to report, or a file is no result.
    """
    students = read(folder)
    (folder / "class.html").write_text(page(students), encoding="utf-8")
    with (folder / "class.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(one.row for student in students for one in student.played)
    console.print(f"{folder}/class.html and {folder}/class.csv: {len(students)} students", markup=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.classroom", description="The drills of a class.")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(argv)
    run(lambda: report(options.folder))


if __name__ == "__main__":
    main()

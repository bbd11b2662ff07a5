"""The report of a class: from folders of results to one page and a CSV."""

from __future__ import annotations

import csv
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.browser import browser
from tools import classroom
from tools.drills import records
from tools.terminal import Problem

SOLVED: dict[str, Any] = {
    "drill": "page-hangs", "seed": 7, "level": 1, "variables": {"HOST": "edge1"}, "started": 1_795_764_720,
    "solved": True, "noticed": 40, "located": 90, "mended": 150, "hints": 1, "wrong_tries": 0, "verdicts_no": 1,
    "solution_shown": False, "cause": 40, "place": 20, "evidence": 20, "chain": 10, "grade": 80,
}  # fmt: skip
GIVEN_UP = SOLVED | {"drill": "sales-refused", "solved": False, "mended": None, "located": None, "grade": 0, "hints": 3}


def write(path: Path, result: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Two students, of whom one has a name that HTML and spreadsheets could take for something else."""
    write(tmp_path / "Zoë & <b>Ann" / "1.json", SOLVED)
    write(tmp_path / "Zoë & <b>Ann" / "2.json", SOLVED | {"grade": 60, "started": 1_795_768_320})
    write(tmp_path / "=Bob" / "results" / "1.json", GIVEN_UP)
    return tmp_path


def test_a_row_for_everything_that_was_played_and_the_best_grade_of_each_drill(room: Path) -> None:
    classroom.report(room)
    with (room / "class.csv").open(newline="") as file:
        bob, ann, again = csv.DictReader(file)
    assert (ann["student"], ann["drill"], ann["started"]) == ("Zoë & <b>Ann", "page-hangs", "2026-11-27 07:32")
    assert (ann["grade"], again["grade"], ann["solved"], ann["mended"]) == ("80", "60", "yes", "150")
    assert (bob["solved"], bob["mended"], bob["hints"]) == ("no", "", "3")
    assert bob["student"] == "'=Bob", "a spreadsheet must not take a name for a formula"
    first, second = classroom.read(room)
    assert (second.best, second.solved, second.hints, second.minutes) == ({"page-hangs": 80}, 1, 2, 5)
    assert (first.best, first.solved) == ({"sales-refused": 0}, 0)


def test_a_result_that_somebody_changed_counts_nothing(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(records.KEY, "the teacher's")
    signed = {**SOLVED, "signature": records.signature(SOLVED, "the teacher's")}
    write(room / "Carla" / "1.json", signed)
    write(room / "Dan" / "1.json", signed | {"grade": 100})
    students = {student.name: student for student in classroom.read(room)}
    assert (students["Carla"].best, students["Carla"].played[0].worth) == ({"page-hangs": 80}, "signed")
    assert (students["Dan"].best, students["Dan"].solved) == ({"page-hangs": 0}, 0)
    assert students["Dan"].played[0].worth == "forged"


@pytest.mark.parametrize("wrong", [[], {"drill": "page-hangs"}, SOLVED | {"grade": "100"}, SOLVED | {"solved": 1}])
def test_a_file_that_is_no_result_is_named(room: Path, wrong: object) -> None:
    write(room / "Eve" / "x.json", wrong)
    with pytest.raises(Problem, match=r"Eve/x\.json is no result of a drill .*take it away"):
        classroom.report(room)


def test_a_folder_without_results_is_refused_with_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="holds no results: put a folder for each student there"):
        classroom.report(tmp_path)
    with pytest.raises(Problem, match="There is no folder"):
        classroom.report(tmp_path / "nowhere")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_needs_no_network_shows_names_as_they_are_and_axe_finds_nothing(
    room: Path, scheme: Literal["light", "dark"]
) -> None:
    classroom.report(room)
    with browser() as chromium:
        context = chromium.new_context(color_scheme=scheme, offline=True)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((room / "class.html").as_uri())
        assert asked == [(room / "class.html").as_uri()]
        names = page.locator("table").first.locator("tbody th").all_inner_texts()
        assert names == ["=Bob", "Zoë & <b>Ann"]
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
        found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
        assert [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]] == []

import json
from pathlib import Path

from retail_jobs.report import MOST_RUNS, Report


def test_the_last_runs_are_kept_the_oldest_first(tmp_path: Path) -> None:
    for number in range(MOST_RUNS + 3):
        report = Report(run_id=f"r{number}", rows_read=number, result="published", message="a line\nand another")
        report.save(tmp_path / "last_run.json")
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    runs = [json.loads(line) for line in lines]
    assert [run["run_id"] for run in runs] == [f"r{number}" for number in range(3, MOST_RUNS + 3)]
    assert (runs[-1]["rows_read"], runs[-1]["message"]) == (MOST_RUNS + 2, "a line\nand another")
    assert json.loads((tmp_path / "last_run.json").read_text())["run_id"] == f"r{MOST_RUNS + 2}"

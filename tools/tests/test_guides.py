"""The guides of docs/labs and their checks, without a cluster: each asks, says what is missing, and is in the table."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools import ROOT, guides
from tools.artefacts.products import Checkout
from tools.cluster import Cluster, Host
from tools.guides import FOLDER, Check
from tools.terminal import Problem

HERE = Cluster({"here": Host("here", {"ansible_connection": "local"})}, {"edge": ["here"]})


def test_the_first_thing_that_is_missing_is_told_with_what_the_script_prints(tmp_path: Path) -> None:
    wanted = [
        Check("There is no bread.", f"test -e {tmp_path}/bread"),
        Check(
            "The bread is too small:",
            f"[[ $(wc -c <{tmp_path}/bread) -gt 9 ]] || {{ wc -c <{tmp_path}/bread; exit 1; }}",
        ),
    ]
    assert guides.missing(HERE, wanted) == "There is no bread."
    (tmp_path / "bread").write_text("bread")
    assert guides.missing(HERE, wanted) == "The bread is too small:\n5"
    (tmp_path / "bread").write_text("a whole loaf")
    assert guides.missing(HERE, wanted) == ""


def test_a_cluster_that_cannot_tell_is_no_answer() -> None:
    with pytest.raises(Problem, match=r"here cannot tell, .*: gone"):
        guides.missing(HERE, [Check("Nothing is missing.", "echo gone >&2; exit 3")])


def test_a_guide_that_is_misspelt_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(Problem, match=r"no lab 'jions'\. Did you mean joins\?"):
        guides.verify("jions")


@pytest.mark.parametrize("name", guides.names())
def test_a_guide_has_a_goal_questions_a_check_that_says_no_and_ok_and_its_place_in_the_table(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    assert guides.checks(FOLDER / f"{name}.yml")
    minutes = re.search(r"^(\d+) minutes\. \*\*Goal:\*\* ", text, re.MULTILINE)
    assert minutes and 20 <= int(minutes[1]) <= 60
    assert f"| [{name}]({name}.md) | {minutes[1]} |" in (FOLDER / "README.md").read_text()
    assert text.count("**Question.**") == text.count("<summary>Answer</summary>") >= 3
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>")
    first, second = re.findall(rf"^\$ make verify LAB={name}\n(NO|OK)\n", text, re.MULTILINE)
    assert (first, second) == ("NO", "OK")
    for link in re.findall(r"\]\(([^)]+\.md)\)", text):
        assert (FOLDER / link).is_file(), link


@pytest.mark.parametrize("name", guides.names())
def test_the_scripts_of_checks_are_bash_that_says_what_it_means(name: str) -> None:
    for check in guides.checks(FOLDER / f"{name}.yml"):
        done = subprocess.run(
            ["shellcheck", "--shell=bash", "-"], input=f"set -euo pipefail\n{check.ask}", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def test_the_guide_of_the_upgrade_speaks_of_the_versions_that_there_are() -> None:
    said = "".join((FOLDER / f"upgrade{suffix}").read_text() for suffix in (".md", ".yml"))
    assert set(re.findall(r"\b\d+\.\d+\.\d+\b", said)) == set(Checkout.at(ROOT).versions("hadoop"))

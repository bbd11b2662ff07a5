"""The module that writes a host's files, run as Ansible runs it, on a folder of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[2] / "plugins" / "modules" / "host_files.py"


def write(*files: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """What the module says; files belong to whoever runs the test."""
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    rows = [{key: str(value) for key, value in row.items()} | owner for row in files]
    words = json.dumps({"ANSIBLE_MODULE_ARGS": {"files": rows, "_ansible_check_mode": check}})
    done = subprocess.run([sys.executable, MODULE, words], capture_output=True, text=True, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    rows = (
        {"path": tmp_path / "etc"},
        {"path": tmp_path / "etc" / "site.xml", "content": "<a/>\n", "mode": "0640"},
        {"path": tmp_path / "tool", "link": tmp_path / "etc" / "site.xml"},
    )
    assert write(*rows)["paths"] == [str(row["path"]) for row in rows]
    assert (tmp_path / "tool").read_text() == "<a/>\n"
    assert (tmp_path / "tool").stat().st_mode & 0o777 == 0o640
    assert not write(*rows)["changed"]


def test_a_difference_is_shown_and_not_made_in_check_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("old\n")
    said = write({"path": path, "content": "new\n"}, check=True)
    assert said["changed"] and said["diff"][0]["before"] == "old\n" and said["diff"][0]["after"] == "new\n"
    assert path.read_text() == "old\n"


def test_nothing_is_written_when_one_file_is_wrong(tmp_path: Path) -> None:
    good = {"path": tmp_path / "good", "content": "x"}
    said = write(good, {"path": tmp_path / "bad", "content": "x", "validate": "grep -q y %s"})
    assert said["failed"] and "nothing was changed" in said["msg"]
    assert not (tmp_path / "good").exists()


def test_in_check_mode_a_wrong_file_is_a_warning_because_what_it_needs_may_not_be_there_yet(tmp_path: Path) -> None:
    said = write({"path": tmp_path / "bad", "content": "x", "validate": "grep -q y %s"}, check=True)
    assert said["changed"] and "may be wrong" in str(said["warnings"])


@pytest.mark.parametrize("former", ["link", "file"])
def test_a_link_replaces_what_is_there_in_one_step(tmp_path: Path, former: str) -> None:
    path = tmp_path / "tool"
    if former == "link":
        path.symlink_to("nowhere")
    else:
        path.write_text("a script of before")
    assert write({"path": path, "link": "/bin/true"})["changed"]
    assert path.readlink() == Path("/bin/true")
    assert [entry.name for entry in tmp_path.iterdir()] == ["tool"]

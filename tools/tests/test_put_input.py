"""Hadoop's own shell puts files whose names it takes for URIs and patterns; only HDFS is a local folder here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "Sample - Superstore.csv",
    "100%25 [new] {a} *.CSV",
    "#1 Größe.csv",
    "sub folder [1]/Café & co?.csv.gz",
    "sub folder [1]/plain.csv",
    "products.csv",
    "dataset.toml",
]


@pytest.fixture
def put(tmp_path: Path) -> list[str]:
    """The command, with a shell of Hadoop that works on the local disk."""
    jars = Path(pyspark.__file__).parent / "jars"
    shell = tmp_path / "bin" / "hdfs"
    shell.parent.mkdir()
    java = f'java -XX:TieredStopAtLevel=1 -cp "{shell.parent}:{jars}/*" org.apache.hadoop.fs.FsShell'
    shell.write_text(f'#!/bin/sh\nshift\nexec {java} "$@"\n')
    shell.chmod(0o755)
    (shell.parent / "core-site.xml").write_text("<configuration/>")
    (tmp_path / "hdfs").mkdir()
    script = ROOT / "roles" / "jobs" / "files" / "put_input.py"
    return [sys.executable, str(script), str(tmp_path / "input"), str(tmp_path / "hdfs")]


def test_whatever_a_file_is_called_it_arrives_once_and_again_when_it_changed(tmp_path: Path, put: list[str]) -> None:
    settings = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "dataset"), "LC_ALL": "C"}

    def run(*options: str) -> list[str]:
        done = subprocess.run([*put, *options], env=settings, stdout=subprocess.PIPE, check=True)
        return sorted(done.stdout.decode().splitlines())

    for name in [*NAMES, "notes.txt", ".hidden.csv"]:
        (tmp_path / "input" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "input" / name).write_text(f"1 {name}")
    assert run() == sorted(NAMES)
    assert {name: (tmp_path / "hdfs" / name).read_text() for name in NAMES} == {name: f"1 {name}" for name in NAMES}
    assert run() == []
    (tmp_path / "input" / NAMES[3]).write_text(f"2 {NAMES[3]}")
    assert run() == [NAMES[3]]
    assert (tmp_path / "hdfs" / NAMES[3]).read_text() == f"2 {NAMES[3]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "hdfs", "input", "input.json"]

    for name in NAMES[:4]:
        run("--forget", name)
    left = {path.relative_to(tmp_path / "hdfs").as_posix() for path in (tmp_path / "hdfs").rglob("*")}
    assert left & set(NAMES) == set(NAMES[4:])
    assert not (tmp_path / "input" / NAMES[1]).exists()
    run("--forget", "never was there.csv")

"""Folders of HDFS: one question for all, then one command for all that lack the same."""

from __future__ import annotations

from tools.tests.test_daemons import plugin

dirs = plugin("hdfs_dirs")
DATA = {"path": "/data", "owner": "retail", "mode": "755"}
SHOWN = {"path": "/data/output/analysis_parquet", "owner": "retail", "mode": "755", "snapshots": True}
TMP = {"path": "/tmp", "owner": "hdfs", "mode": "1777"}
THERE = ["data retail 755", "analysis_parquet retail 755", "tmp hdfs 1777", ".snapshot retail 755"]


def test_all_is_asked_in_one_question() -> None:
    assert dirs.asked([DATA, SHOWN])[3:] == ["/data", SHOWN["path"], f"{SHOWN['path']}/.snapshot"]


def test_what_is_there_needs_nothing() -> None:
    assert dirs.commands([DATA, SHOWN, TMP], THERE) == []


def test_an_empty_file_system_gets_them_in_one_command_for_all_that_lack_the_same() -> None:
    assert dirs.commands([DATA, TMP], []) == [
        ["dfs", "-mkdir", "-p", "/data", "/tmp"],
        ["dfs", "-chown", "hdfs:hdfs", "/tmp"],
        ["dfs", "-chown", "retail:retail", "/data"],
        ["dfs", "-chmod", "1777", "/tmp"],
        ["dfs", "-chmod", "755", "/data"],
    ]


def test_another_mode_is_mended_and_nothing_else_touched() -> None:
    found = dirs.commands([DATA, SHOWN, TMP], [*THERE[:2], "tmp hdfs 755", THERE[3]])
    assert found == [
        ["dfs", "-mkdir", "-p", "/tmp"],
        ["dfs", "-chown", "hdfs:hdfs", "/tmp"],
        ["dfs", "-chmod", "1777", "/tmp"],
    ]


def test_snapshots_are_allowed_where_they_were_not() -> None:
    assert dirs.commands([SHOWN], THERE[:2]) == [["dfsadmin", "-allowSnapshot", SHOWN["path"]]]

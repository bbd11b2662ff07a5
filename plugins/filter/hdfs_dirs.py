"""What is to be done about folders of HDFS, from what `hdfs dfs -stat` says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

Directory = Mapping[str, Any]
FORMAT = "%n %u %a"
SNAPSHOTS = ".snapshot"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {"hdfs_dirs_asked": asked, "hdfs_dirs_commands": commands}


def _with_snapshots(dirs: Iterable[Directory]) -> list[str]:
    return [directory["path"] for directory in dirs if directory.get("snapshots")]


def asked(dirs: Sequence[Directory]) -> list[str]:
    """Arguments of `hdfs` that ask for all folders at once: each call is a JVM, which takes a second or two.

    Args:
        dirs: Folders as declared: path, owner, mode in octal, and whether their owner may make snapshots.
    """
    paths = [directory["path"] for directory in dirs] + [f"{path}/{SNAPSHOTS}" for path in _with_snapshots(dirs)]
    return ["dfs", "-stat", FORMAT, *paths]


def commands(dirs: Sequence[Directory], lines: Sequence[str]) -> list[list[str]]:
    """Commands of `hdfs`, each for all folders that lack the same.

    Args:
        dirs: Folders as declared. No two have the same last part, owner and mode.
        lines: What the question of `asked` printed.
    """
    wrong = [
        directory
        for directory in dirs
        if f"{directory['path'].rpartition('/')[2]} {directory['owner']} {directory['mode']}" not in lines
    ]
    found = [["dfs", "-mkdir", "-p", *(directory["path"] for directory in wrong)]] if wrong else []
    for key, command in (
        ("owner", lambda owner: ["-chown", f"{owner}:{owner}"]),
        ("mode", lambda mode: ["-chmod", mode]),
    ):
        for value, alike in groupby(sorted(wrong, key=itemgetter(key)), key=itemgetter(key)):
            found.append(["dfs", *command(value), *(directory["path"] for directory in alike)])
    paths = _with_snapshots(dirs)
    if sum(line.startswith(f"{SNAPSHOTS} ") for line in lines) < len(paths):
        found += [["dfsadmin", "-allowSnapshot", path] for path in paths]
    return found

"""Puts the CSVs of a local folder into an HDFS folder, those that are new or changed; prints their names.

A file is new when HDFS has none of its name and size, or when its content is not what was put before. HDFS and this
host compute different checksums, so what was put is remembered beside the folder.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path


def hdfs_dfs(*arguments: str, check: bool = True) -> str:
    """Run `hdfs dfs` with the arguments and return what it prints; when it fails, end with its own words."""
    done = subprocess.run(["hdfs", "dfs", *arguments], check=False, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"HDFS does not take the input: {done.stderr.strip()}\n`sudo -u hdfs hdfs dfsadmin -report` says more")
    return done.stdout


def main(source: Path, target: str) -> None:
    """Bring every CSV of source that target lacks."""
    memory = source.with_suffix(".json")
    put_before: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
    stored = set(hdfs_dfs("-stat", "%n %b", f"{target}/*.csv", check=False).splitlines())
    here = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(source.glob("*.csv"))}
    new = [
        path
        for path, digest in here.items()
        if f"{path.name} {path.stat().st_size}" not in stored or put_before.get(path.name) != digest
    ]
    if new:
        hdfs_dfs("-put", "-f", *map(str, new), target)
        memory.write_text(json.dumps({path.name: digest for path, digest in here.items()}))
        print(*(path.name for path in new))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

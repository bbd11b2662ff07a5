"""Puts the data set of a local folder into an HDFS folder: what is new or changed of its files; prints their names.

A file is new when HDFS has none of its name and size, or when its content is not what was put before. HDFS and this
host compute different checksums, so what was put is remembered beside the folder.

    PYTHONPATH=/opt/retail-dataset python3 put_input.py /var/lib/retail/input /data/input [--forget NAME]

With --forget, a file is removed from both folders first: NAME is its path below them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from retail_dataset.files import PRODUCTS, RULES, input_files


def hdfs_dfs(*arguments: str, check: bool = True) -> str:
    """Run `hdfs dfs` with the arguments and return what it prints."""
    # Java takes the encoding of file names from the locale, and Ansible's is C.
    settings = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(["hdfs", "dfs", *arguments], check=check, stdout=subprocess.PIPE, env=settings)
    return done.stdout.decode()


def stored_sizes(target: str) -> dict[str, int]:
    """Files in an HDFS folder and its sub-folders, by their path below it, with their size in bytes."""
    lines = (line.split(maxsplit=7) for line in hdfs_dfs("-ls", "-R", target, check=False).splitlines())
    return {row[7].partition(f"{target}/")[2]: int(row[4]) for row in lines if row[0].startswith("-")}


def put(source: Path, names: list[str], target: str) -> None:
    """Bring files, each into the sub-folder that it has here.

    HDFS takes what it is told for a URI and for a pattern. So it gets folders as they shall be, with links to the files
    in them, and only the names at the top need to be quoted.
    """
    with TemporaryDirectory(dir=source.parent) as folder:
        for name in names:
            link = Path(folder, name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(source / name)
        hdfs_dfs("-put", "-f", *(quote(str(path)) for path in sorted(Path(folder).iterdir())), target)


def forget(source: Path, name: str, target: str) -> None:
    """Remove a file here and in HDFS, if it is there."""
    (source / name).unlink(missing_ok=True)
    # A pattern, but no URI.
    hdfs_dfs("-rm", "-f", "-skipTrash", f"{target}/" + re.sub(r"([\[\]{}*?^\\])", r"\\\1", name))


def main(source: Path, target: str) -> None:
    """Bring every file of the data set that target lacks."""
    memory = source.with_suffix(".json")
    put_before: dict[str, str] = json.loads(memory.read_text()) if memory.exists() else {}
    stored = stored_sizes(target)
    beside = [name for name in (PRODUCTS, RULES) if (source / name).exists()]
    here = {name: hashlib.sha256((source / name).read_bytes()).hexdigest() for name in [*input_files(source), *beside]}
    new = [
        name
        for name, digest in here.items()
        if stored.get(name) != (source / name).stat().st_size or put_before.get(name) != digest
    ]
    if new:
        put(source, new, target)
        memory.write_text(json.dumps(here))
        print(*new, sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target")
    parser.add_argument("--forget", metavar="NAME")
    options = parser.parse_args()
    if options.forget:
        forget(options.source, options.forget, options.target)
    main(options.source, options.target)

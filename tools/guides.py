"""Whether the task of a guide is done: `make verify LAB=tour`. The cluster itself is asked, not what was typed.

A guide is a page of docs/labs; its checks stand beside it, in a YAML file of the same name. They are asked in their
order, and the first one that does not hold is told: later ones need it.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools import ROOT
from tools import cluster as clusters
from tools.cluster import Cluster, UnreachableError
from tools.terminal import Problem, nearest, run, say_verdict

FOLDER = ROOT / "docs" / "labs"
NOT_SO = 1  # exit code of a script whose answer is no


@dataclass(frozen=True)
class Check:
    """One thing that must be so.

    Attributes:
        missing: The sentence for as long as it is not: what is missing, and not how it is done.
        ask: A bash script, run as the ordinary user. It ends with 0 when it is so and with 1 when it is not; what it
            prints is told, too.
        at: A group of the inventory, on whose first host it runs.
    """

    missing: str
    ask: str
    at: str = "edge"


def names() -> list[str]:
    """All guides, in the order in which they are read."""
    return [path.stem for path in sorted(FOLDER.glob("*.yml"))]


def checks(path: Path) -> list[Check]:
    """The checks of a guide.

    Raises:
        TypeError: A key is missing, or is none of a check.
    """
    return [Check(**row) for row in yaml.safe_load(path.read_text(encoding="utf-8"))]


def missing(cluster: Cluster, wanted: Sequence[Check]) -> str:
    """What is missing first; nothing when all is so.

    Raises:
        Problem: It cannot be told.
    """
    for check in wanted:
        host = cluster.one_of(check.at)
        script = f"set -euo pipefail\n{check.ask}"
        try:
            done = host.run(f"bash -c {shlex.quote(script)}", timeout=300)
        except UnreachableError as error:
            raise Problem(f"{host.name} cannot be reached: {error}") from error
        if done.code == NOT_SO:
            return "\n".join([check.missing, *done.out.strip().splitlines()])
        if done.code:
            raise Problem(f"{host.name} cannot tell, `make check` says what is broken: {done.last_words}")
    return ""


def verify(name: str) -> bool:
    """Say whether the task of a guide is done.

    Raises:
        Problem: There is no such guide, or the cluster cannot tell.
    """
    if name not in names():
        raise Problem(f"There is no lab {name!r}. {nearest(name, names())}")
    return say_verdict(missing(clusters.from_inventory(), checks(FOLDER / f"{name}.yml")).splitlines())


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and give the verdict; exit code 1 is a NO."""
    parser = argparse.ArgumentParser(prog="python -m tools.guides", description="Is the task of a guide done?")
    parser.add_argument("name")
    options = parser.parse_args(argv)

    def command() -> None:
        if not verify(options.name):
            raise SystemExit(1)

    run(command)


if __name__ == "__main__":
    main()

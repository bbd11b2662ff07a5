"""Verbs that change a running cluster.

python -m tools.verbs restart [--host worker1] [--service kafka] [--yes]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tools import cluster as clusters
from tools.terminal import run
from tools.verbs.restart import restart


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m tools.verbs", description="Change what runs.")
    parser.add_argument("verb", choices=["restart"])
    parser.add_argument("--host", default="", help="only on this host")
    parser.add_argument("--service", default="", help="only this unit, or all that begin with it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)
    run(lambda: restart(clusters.from_inventory(), options.host, options.service, options.yes))


if __name__ == "__main__":
    main()

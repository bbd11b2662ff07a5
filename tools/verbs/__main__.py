"""Verbs that change a running cluster.

python -m tools.verbs restart [--host worker1] [--service kafka] [--yes]
python -m tools.verbs add --host worker3 [--yes]
python -m tools.verbs remove --host worker3 --cluster lab [--name lab] [--yes]
python -m tools.verbs replace --host worker1 [--yes]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tools import cluster as clusters
from tools.terminal import run
from tools.verbs.add import add
from tools.verbs.remove import remove
from tools.verbs.replace import replace
from tools.verbs.restart import restart


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m tools.verbs", description="Change what runs.")
    parser.add_argument("verb", choices=["restart", "add", "remove", "replace"])
    parser.add_argument("--host", default="", help="only on this host")
    parser.add_argument("--service", default="", help="only this unit, or all that begin with it")
    parser.add_argument("--cluster", default="", help="the cluster's name, which must be typed before a removal")
    parser.add_argument("--name", default="", help="the same, given instead of typed")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)

    def command() -> None:
        cluster = clusters.from_inventory()
        if options.verb == "restart":
            restart(cluster, options.host, options.service, options.yes)
        elif options.verb == "add":
            add(cluster, options.host, options.yes)
        elif options.verb == "replace":
            replace(cluster, options.host, options.yes)
        else:
            remove(cluster, options.cluster, options.host, options.name, options.yes)

    run(command)


if __name__ == "__main__":
    main()

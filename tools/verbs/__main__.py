"""Verbs that change a running cluster.

python -m tools.verbs restart [--host worker1] [--service kafka] [--yes]
python -m tools.verbs upgrade --inventory inventories/lab --product kafka --version 4.3.1 [--yes]
python -m tools.verbs rollback --inventory inventories/lab --product kafka [--yes]
python -m tools.verbs finalize --product kafka [--yes]
python -m tools.verbs add --host worker3 [--yes]
python -m tools.verbs remove --inventory inventories/lab --host worker3 [--name lab] [--yes]
python -m tools.verbs replace --host worker1 [--yes]
python -m tools.verbs may-be-deleted --host worker1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tools import ROOT
from tools import cluster as clusters
from tools.terminal import run
from tools.verbs.add import add
from tools.verbs.remove import remove
from tools.verbs.replace import may_be_deleted, replace
from tools.verbs.restart import restart
from tools.verbs.versions import finalize, rollback, upgrade


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m tools.verbs", description="Change what runs.")
    verbs = ["restart", "upgrade", "rollback", "finalize", "add", "remove", "replace", "may-be-deleted"]
    parser.add_argument("verb", choices=verbs)
    parser.add_argument("--inventory", type=Path, default=ROOT / "inventories/lab", help="its folder")
    parser.add_argument("--host", default="", help="the host that it is about; restart: only on this one")
    parser.add_argument("--service", default="", help="restart: only this unit, or all that begin with it")
    parser.add_argument("--product", default="", help="hadoop, kafka or spark")
    parser.add_argument("--version", default="", help="upgrade: the one to go to")
    parser.add_argument("--name", default="", help="remove: the cluster's name, given instead of typed")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)

    def command() -> None:
        cluster = clusters.from_inventory()
        match options.verb:
            case "restart":
                restart(cluster, options.host, options.service, options.yes)
            case "upgrade":
                upgrade(cluster, options.inventory, options.product, options.version, options.yes)
            case "rollback":
                rollback(cluster, options.inventory, options.product, options.yes)
            case "finalize":
                finalize(cluster, options.product, options.yes)
            case "add":
                add(cluster, options.host, options.yes)
            case "remove":
                remove(cluster, options.inventory.resolve().name, options.host, options.name, options.yes)
            case "may-be-deleted":
                may_be_deleted(cluster, options.host)
            case "replace":
                replace(cluster, options.host, options.yes)

    run(command)


if __name__ == "__main__":
    main()

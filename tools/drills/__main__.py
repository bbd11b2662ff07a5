"""Drills: faults by a seed, to be found and mended; docs/drills.md.

python -m tools.drills list
python -m tools.drills start ID [--seed 7]
python -m tools.drills hint | verify | solution | reset | report
python -m tools.drills diagnose --host worker1 --unit kafka --cause NAME --evidence LINE --chain cab
python -m tools.drills prove [ID ...]
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Sequence

from rich.table import Table

from tools import cluster as clusters
from tools.drills import folders, game, prove, records
from tools.terminal import console, run


def show_list() -> None:
    """Print all drills, and what is done with them."""
    table = Table("drill", "level", "about", "minutes", "what it is called", box=None, pad_edge=False)
    for drill in folders.drills().values():
        table.add_row(drill.id, str(drill.level), drill.area, str(drill.minutes), drill.title)
    console.print(table)
    console.print("\n`make drill ID=…` starts one; then `make hint`, `make diagnose`, `make verify`, `make reset`.")


def show_causes() -> None:
    """Print the closed list of causes."""
    table = Table("cause", "what it is", box=None, pad_edge=False)
    for name, sentence in folders.causes().items():
        table.add_row(name, sentence)
    console.print(table)
    console.print('\n`make diagnose HOST=… UNIT=… CAUSE=… EVIDENCE="a line as you found it"`, in one go or bit by bit.')


def show_report() -> None:
    """Print all results."""
    table = Table("drill", "seed", "when (UTC)", "result", "noticed", "located", "mended", "hints", "grade", box=None)
    for result, worth in records.results():
        times = ["" if result[name] is None else f"{result[name]} s" for name in ("noticed", "located", "mended")]
        when = time.strftime("%F %R", time.gmtime(result["started"]))
        state = "solved" if result["solved"] else "given up"
        grade = f"{result['grade']}{f' ({worth})' if worth else ''}"
        table.add_row(result["drill"], str(result["seed"]), when, state, *times, str(result["hints"]), grade)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m tools.drills", description="Faults to be found and mended.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("list", "hint", "verify", "solution", "reset", "report"):
        verbs.add_parser(verb)
    start = verbs.add_parser("start")
    start.add_argument("id")
    start.add_argument("--seed", type=int, default=None, help="the same seed makes the same fault; none: any")
    diagnose = verbs.add_parser("diagnose")
    for name in ("host", "unit", "cause", "evidence", "chain"):
        diagnose.add_argument(f"--{name}", default="")
    proof = verbs.add_parser("prove")
    proof.add_argument("ids", nargs="*", metavar="ID", help="none: all that this inventory has the hosts for")
    proof.add_argument("--again", action="store_true", help="also what an earlier run has proven")
    options = parser.parse_args(argv)

    def command() -> None:
        if options.verb == "list":
            show_list()
        elif options.verb == "report":
            show_report()
        elif options.verb == "diagnose" and not any((options.host, options.cause, options.evidence, options.chain)):
            show_causes()
        else:
            _play(options)

    run(command)


def _play(options: argparse.Namespace) -> None:
    cluster = clusters.from_inventory()
    match options.verb:
        case "start":
            seed = secrets.randbelow(10_000) if options.seed is None else options.seed
            game.start(cluster, game.named(options.id), seed)
        case "hint":
            game.hint(cluster)
        case "diagnose":
            causes = [cause for cause in options.cause.split(",") if cause]
            game.diagnose(cluster, options.host, options.unit, causes, options.evidence, options.chain)
        case "verify":
            if not game.verify(cluster):
                raise SystemExit(1)
        case "solution":
            game.solution(cluster)
        case "reset":
            game.reset(cluster)
        case "prove":
            prove.command(cluster, options.ids, again=options.again)


if __name__ == "__main__":
    main()

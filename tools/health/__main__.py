"""Asks whether a host may stop, or whether its daemons have settled.

    python -m tools.health can-stop worker1 [--for restart|remove] [--json]
    python -m tools.health settled worker1 [kafka ...] [--wait 300]

Exit codes: 0 YES or YES BUT, 3 WAIT, 1 NO, 2 UNKNOWN.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from enum import Enum

from tools import cluster as clusters
from tools.cluster import Cluster
from tools.health.gate import Answer, Settled
from tools.health.units import expected_units
from tools.health.verdicts import Purpose, Reason, Verdict
from tools.health.watch import TREND_SECONDS, may_stop_now, settling
from tools.terminal import console, errors, nearest, run

COLOURS = {
    Verdict.YES: "bold green",
    Verdict.BUT: "bold green",
    Verdict.WAIT: "bold yellow",
    Verdict.UNKNOWN: "bold red",
    Verdict.NO: "bold red",
}


def check_name(name: str, known: Sequence[str], what: str) -> None:
    """Refuse a name that is not there.

    Raises:
        SystemExit: With the nearest name that is.
    """
    if name in known:
        return
    errors.print(f"ERROR There is no {what} {name!r}. {nearest(name, known)}", markup=False)
    raise SystemExit(Verdict.UNKNOWN.exit_code)


def as_json(answer: Answer | Settled) -> str:
    """An answer for programs; `verdict` and `reasons` or `lacks` are always there."""
    words = {"verdict": answer.verdict, **dataclasses.asdict(answer)}

    def plain(value: object) -> object:
        if isinstance(value, Verdict):
            return value.words
        if isinstance(value, Enum):
            return value.value
        raise TypeError(value)

    return json.dumps(words, indent=2, default=plain)


def show(answer: Answer) -> None:
    """Print an answer for people."""
    if not answer.reasons:
        tail = "nothing on it is needed now" if answer.purpose is Purpose.REMOVE else "nothing is interrupted"
        _line(Verdict.YES, f"{answer.host} may stop: {tail}.")
    for reason in answer.reasons:
        _line(reason.verdict, f"{reason}{_trend(reason)}")
    for note in answer.notes:
        console.print(f"  besides: {note}", markup=False)


def _trend(reason: Reason) -> str:
    if reason.verdict is not Verdict.WAIT or reason.was is None or reason.number is None:
        return ""
    return f" ({reason.was:,.0f} {TREND_SECONDS} s ago, {reason.number:,.0f} now; {reason.bound or 0:,.0f} is wanted)"


def _line(verdict: Verdict, text: str) -> None:
    console.print(f"{verdict.words}: ", style=COLOURS[verdict], end="")
    console.print(text, markup=False)


def wait_until_settled(cluster: Cluster, host: str, units: Sequence[str], seconds: float) -> list[Settled]:
    """What units lack when that is nothing, or the time is over; what is waited for is said meanwhile."""
    found: list[Settled] = []
    last = ""
    for found in settling(cluster, host, units, seconds):
        said = " ".join(reason.text for one in found for reason in one.lacks)
        if seconds and said not in ("", last):
            errors.print(f"  {time.strftime('%X')} {said}", style="dim", markup=False)
            last = said
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, ask, print; the exit code is the verdict's."""
    parser = argparse.ArgumentParser(prog="python -m tools.health", description="May a host stop? Has it settled?")
    parser.add_argument("-i", "--inventory", action="append", default=[], help="instead of ANSIBLE_INVENTORY")
    commands = parser.add_subparsers(dest="command", required=True)
    stop = commands.add_parser("can-stop", help="may this host stop?")
    stop.add_argument("host")
    stop.add_argument("--for", dest="purpose", choices=[purpose.value for purpose in Purpose], default="restart")
    settle = commands.add_parser("settled", help="do its daemons take part?")
    settle.add_argument("host")
    settle.add_argument("units", nargs="*", metavar="UNIT", help="none: all of the host")
    settle.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="until they do, for so long at most")
    for subparser in (stop, settle):
        subparser.add_argument("--json", action="store_true", help="for programs, also when the answer is no")
    options = parser.parse_args(argv)

    def command() -> None:
        cluster = clusters.from_inventory(options.inventory)
        check_name(options.host, list(cluster.hosts), "host")
        if options.command == "can-stop":
            answer = may_stop_now(cluster, options.host, Purpose(options.purpose))
            if options.json:
                print(as_json(answer))
            else:
                show(answer)
            sys.exit(answer.verdict.exit_code)
        known = [name.removesuffix(".service") for name in expected_units(cluster, cluster.hosts[options.host])]
        for unit in options.units:
            check_name(unit.removesuffix(".service"), known, "unit")
        found = wait_until_settled(cluster, options.host, options.units or known, options.wait)
        if options.json:
            print("[" + ",\n".join(map(as_json, found)) + "]")
        else:
            for one in found:
                _line(one.verdict, " ".join(map(str, one.lacks)) or f"{one.unit} on {one.host} has settled.")
        sys.exit(max((one.verdict for one in found), key=lambda verdict: verdict.gravity).exit_code)

    run(command)


if __name__ == "__main__":
    main()

"""`make timeline`: what happened on all hosts, in one list by time; the rules of what counts are timeline.yml.

    python -m tools.health.timeline --from=-30m
    python -m tools.health.timeline --from=2026-11-27T09:00 --to=2026-11-27T09:20 --json

Events are told by the journals of the hosts, with the times of their own clocks, and by the control side, which notes
the verbs that changed the cluster.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools import cluster as clusters
from tools import daemons
from tools.cluster import Cluster, Host, UnreachableError
from tools.health import lock
from tools.terminal import Problem, errors, run

RULES = Path(__file__).with_suffix(".yml")
SYSTEMD = "systemd"
CONTROL = "control"
LINES = 20_000
"""Of a host's journal, the last ones that match."""
CLOCK_SECONDS = 1.0
"""A clock that is off by more is told."""
PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Rule:
    """What makes an event of a message.

    Attributes:
        match: Regular expression that is searched in the message.
        says: The event in words, with the expression's groups in braces; empty for the message itself.
        grave: Whether somebody must look at it.
    """

    match: str
    says: str = ""
    grave: bool = False

    def text(self, message: str) -> str | None:
        """The event in words; None when the message is none."""
        found = re.search(self.match, message)
        if not found:
            return None
        return self.says.format(**{name: value or "" for name, value in found.groupdict().items()}) or message


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        time: Seconds since 1970, by the clock of the host.
        host: Where; `control` for the machine on which verbs are typed.
        unit: Whose message tells it.
        text: What, in words.
        grave: Whether somebody must look at it.
    """

    time: float
    host: str
    unit: str
    text: str
    grave: bool = False


@cache
def rules() -> Mapping[str, Sequence[Rule]]:
    """The rules by unit.

    Raises:
        TypeError: A row has a key that no rule has, or lacks one.
    """
    rows: dict[str, list[dict[str, Any]]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return {unit: [Rule(**row) for row in of_unit] for unit, of_unit in rows.items()}


def pattern() -> str:
    """All rules as one expression for journalctl, which does not take a group's name twice."""
    expressions = dict.fromkeys(rule.match for of_unit in rules().values() for rule in of_unit)
    return "|".join(f"(?:{re.sub(r'[?]P<[^>]+>', '', expression)})" for expression in expressions)


def moment(words: str, now: float) -> float:
    """The time that is meant: `-30m` (also s, h, d) from now, or an ISO time, this machine's if it names no zone.

    Raises:
        Problem: It is neither.
    """
    if relative := re.fullmatch(r"-(\d+)([smhd])", words):
        return now - int(relative[1]) * PERIODS[relative[2]]
    try:
        return datetime.fromisoformat(words).timestamp()
    except ValueError:
        raise Problem(f"{words!r} is no time: take one like -30m, -2h or 2026-11-27T09:00.") from None


def event(host: str, record: Mapping[str, Any]) -> Event | None:
    """The event in a record of journald; None when no rule makes one of it."""
    raw = record.get("MESSAGE")
    # journald gives what is not UTF-8 as a list of bytes.
    message = bytes(raw).decode(errors="replace") if isinstance(raw, list) else str(raw)
    by_systemd = str(record.get("_PID")) == "1"
    unit = str(record.get("UNIT" if by_systemd else "_SYSTEMD_UNIT", "")).removesuffix(".service")
    if by_systemd and unit and unit.removesuffix(".timer") not in {row.unit for row in daemons.table().values()}:
        return None
    for rule in rules().get(SYSTEMD if by_systemd else unit, ()):
        if (text := rule.text(message)) is not None:
            when = int(record["__REALTIME_TIMESTAMP"]) / 1e6
            return Event(when, host, unit or SYSTEMD, text.strip(), rule.grave)
    return None


def of_journal(host: str, lines: Iterable[str]) -> Iterator[Event]:
    """The events in what `journalctl --output json` printed."""
    for line in lines:
        if found := event(host, json.loads(line)):
            yield found


def merged(events: Iterable[Event]) -> list[Event]:
    """Events in order; those of a moment that say the same are one."""
    return sorted(dict.fromkeys(events), key=lambda one: (one.time, one.host, one.unit))


@dataclass(frozen=True)
class Account:
    """What a host told.

    Attributes:
        events: What happened there.
        notes: What one must know about them, as sentences.
    """

    events: Sequence[Event] = ()
    notes: Sequence[str] = ()


def journalctl(begin: float, end: float) -> list[str]:
    """The command that prints a host's lines of a time, which is exact: what has just happened is among them.

    Args:
        begin: Seconds since 1970.
        end: Likewise; infinite for all that a host has, whatever its clock says.
    """
    return [
        *("sudo", "-n", "journalctl", f"--since=@{begin:.6f}", f"--lines={LINES}", "--quiet"),
        *([f"--until=@{end:.6f}"] if end < math.inf else []),
        *("--no-pager", "--output=json", "--output-fields=MESSAGE,UNIT,_SYSTEMD_UNIT,_PID", "--case-sensitive=yes"),
        f"--grep={pattern()}",
    ]


def ask(host: Host, begin: float, end: float) -> Account:
    """Ask a host for its clock and its journal."""
    try:
        asked = time.time()
        clock = host.run("date +%s.%N", timeout=30)
        answered = time.time()
        done = host.run(shlex.join(journalctl(begin, end)), timeout=120)
    except UnreachableError as error:
        return Account(notes=[f"{host.name} cannot be reached ({error}): its events are missing."])
    if clock.code or (done.code and done.err.strip()):
        said = (done if not clock.code else clock).last_words
        return Account(notes=[f"{host.name} did not tell its journal ({said}): its events are missing."])
    notes = []
    lines = done.out.splitlines()
    if len(lines) >= LINES:
        notes.append(f"{host.name} has more than {LINES:,} such lines in this time: only its last ones are here.")
    if off := clock_note(host.name, float(clock.out), asked, answered):
        notes.append(off)
    return Account(list(of_journal(host.name, lines)), notes)


def clock_note(host: str, clock: float, asked: float, answered: float) -> str:
    """What is wrong with a host's clock; empty when it may be right.

    Args:
        host: Its name.
        clock: Its time, seconds since 1970.
        asked: This machine's time before it was asked.
        answered: This machine's time when it had answered.
    """
    off = clock - answered if clock > answered else min(clock - asked, 0.0)
    if abs(off) <= CLOCK_SECONDS:
        return ""
    way = "ahead of" if off > 0 else "behind"
    return f"{host}'s clock is {abs(off):.1f} s {way} this machine's: so are the times of its events."


def of_control(cluster: Cluster) -> Iterator[Event]:
    """Verbs that changed the cluster, as this checkout has noted them."""
    for row in lock.history(cluster):
        yield Event(row["since"], CONTROL, "make", f"`{row['verb']}` of {row['user']} began")


def gather(cluster: Cluster, begin: float, end: float = math.inf) -> Account:
    """Everything that is known of a time, in order."""
    accounts = cluster.on_all(lambda host: ask(host, begin, end)).values()
    control = [one for one in of_control(cluster) if begin <= one.time <= end]
    events = merged([*control, *(one for account in accounts for one in account.events)])
    return Account(events, [note for account in accounts for note in account.notes])


def as_json(one: Event) -> str:
    """An event as a line for programs; its time in UTC."""
    when = datetime.fromtimestamp(one.time, UTC).isoformat(timespec="milliseconds")
    return json.dumps(asdict(one) | {"time": when}, ensure_ascii=False)


def table(events: Sequence[Event]) -> Table:
    """Events as one reads them; times are this machine's."""
    shown = Table(box=None, pad_edge=False)
    for name in ("time", "host", "unit", "what happened"):
        shown.add_column(name, overflow="fold", no_wrap=name != "what happened")
    day = ""
    for one in events:
        when = datetime.fromtimestamp(one.time)
        if (date := f"{when:%Y-%m-%d}") != day:
            shown.add_row(Text(date, style="bold"))
            day = date
        style = "bold red" if one.grave else ""
        shown.add_row(f"{when:%H:%M:%S}.{when.microsecond // 1000:03}", one.host, one.unit, Text(one.text, style=style))
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    """Print the timeline."""
    parser = argparse.ArgumentParser(description="What happened on all hosts, by time.")
    parser.add_argument("-i", "--inventory", action="append", default=[], help="instead of ANSIBLE_INVENTORY")
    parser.add_argument("--from", dest="begin", default="-30m", help="like -30m, -2h, or an ISO time (%(default)s)")
    parser.add_argument("--to", dest="end", default="-0s", help="likewise; default: now")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each event")
    options = parser.parse_args(argv)

    def command() -> None:
        now = time.time()
        begin, end = moment(options.begin, now), moment(options.end, now)
        if begin >= end:
            raise Problem(f"{options.begin} is not before {options.end}: nothing lies between them.")
        # Until now is all that there is, whatever a host's clock says.
        found = gather(clusters.from_inventory(options.inventory), begin, end if end < now else math.inf)
        for note in found.notes:
            errors.print(note, style="bold yellow", markup=False)
        if options.json:
            for one in found.events:
                print(as_json(one))
        elif found.events:
            console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
            console.print(table(found.events))
        else:
            span = timedelta(seconds=round(end - begin))
            errors.print(f"Nothing that counts happened in these {span}.", markup=False)

    run(command)


if __name__ == "__main__":
    main()

"""What a folder of `drills/` holds: `drill.yml`, and short scripts. docs/drills.md says how one is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from tools import ROOT
from tools.daemons import table
from tools.terminal import Problem

FOLDER = ROOT / "drills"
CAUSES = "causes.yml"
DECOYS = "decoys"
NO_FAULT = "no-fault"
SCRIPTS = ("inject", "symptom", "verify", "solution", "reset")
NEEDED = ("inject", "symptom", "solution")
SOURCES = ("journal", "file", "command")


@dataclass(frozen=True)
class Place:
    """A unit on a host where a fault may be said to be.

    Attributes:
        host: Name of one of the drill's hosts (`HOST`), or a group, of which the first host is meant.
        unit: Without ending.
    """

    host: str
    unit: str


@dataclass(frozen=True)
class Evidence:
    """A line that shows the cause, and where it stands; of `journal`, `file` and `command` one is said.

    Attributes:
        pattern: A regular expression that is found in such a line, and in no other.
        journal: Unit, without ending, in whose journal it stands.
        file: Path on the host.
        command: Shell command, as root, that prints it.
        at: Name of one of the drill's hosts, or a group.
    """

    pattern: str
    journal: str = ""
    file: str = ""
    command: str = ""
    at: str = "HOST"

    def __post_init__(self) -> None:
        if sum(bool(getattr(self, source)) for source in SOURCES) != 1:
            raise ValueError(f"evidence {self.pattern!r} must have one of {', '.join(SOURCES)}")
        re.compile(self.pattern)


@dataclass(frozen=True)
class Drill:
    """A drill.

    Attributes:
        title: A few words that give nothing away.
        level: 1 to 3.
        area: What it teaches, for the list: `hdfs`, `kafka`, `spark`, `stream`, `systemd`, `edge`, `network` or `data`.
        minutes: How long it should take.
        story: What a page or a call says.
        hosts: Names for scripts, and the group of each: the seed picks the hosts, each another one.
        causes: Of the closed list; several when it has several faults.
        where: Places of the fault that count as right.
        evidence: Lines that count as evidence.
        chain: From the cause to the symptom, in this order, a sentence each.
        hints: The first gives least away.
        values: Names for scripts, and what the seed picks each from.
        may_change: Patterns of facts that the fault or a good repair changes (guards.py); `$HOST` stands for its name.
        reboot: Names of hosts that begin anew before the verdict: the repair must last.
        folder: Where it lies.
    """

    title: str
    level: int
    area: str
    minutes: int
    story: str
    hosts: Mapping[str, str]
    causes: Sequence[str]
    where: Sequence[Place]
    evidence: Sequence[Evidence]
    chain: Sequence[str]
    hints: Sequence[str]
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    may_change: Sequence[str] = ()
    reboot: Sequence[str] = ()
    folder: Path = Path()

    @property
    def id(self) -> str:
        """Its name, which is that of its folder."""
        return self.folder.name

    def script(self, name: str) -> str:
        """The text of a script; empty when there is none."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def wrong(self) -> dict[str, str]:
        """Repairs that must not pass: texts of scripts by name."""
        return _scripts_of(self.folder / "wrong")


def read(folder: Path) -> Drill:
    """The drill of a folder.

    Raises:
        ValueError: `drill.yml` has a key that no drill has, or lacks one, or says what cannot be; a script is missing.
    """
    name = folder.name
    row = yaml.safe_load((folder / "drill.yml").read_text(encoding="utf-8"))
    if not isinstance(row, dict):
        raise ValueError("drill.yml is no table of keys and values")
    drill: Drill = _typed(Drill, row, f"drill {name}", folder=folder)
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"drill {name}: name the folder with small letters, digits and hyphens")
    if "HOST" not in drill.hosts:
        raise ValueError(f"drill {name}: hosts must name HOST, where the fault is")
    groups = {daemon.group for daemon in table().values()}
    units = {daemon.unit for daemon in table().values()} | {f"${value}" for value in drill.values}
    names = groups | set(drill.hosts)
    _known(f"drill {name}: hosts", drill.hosts.values(), groups)
    _known(f"drill {name}: causes", drill.causes, set(causes(folder.parent)))
    _known(f"drill {name}: where", (place.host for place in drill.where), names)
    _known(
        f"drill {name}: where", (place.unit for place in drill.where), units | {f"${value}" for value in drill.values}
    )
    _known(f"drill {name}: evidence", (row.at for row in drill.evidence), names)
    _known(f"drill {name}: reboot", drill.reboot, set(drill.hosts))
    if not (1 <= drill.level <= 3 and len(drill.hints) >= 2 and len(drill.chain) >= 3 and drill.evidence):
        raise ValueError(f"drill {name}: it needs a level of 1 to 3, two hints, three links of the chain, evidence")
    _known(f"drill {name}: files", (path.name for path in folder.iterdir()), {"drill.yml", "wrong", *SCRIPTS})
    if missing := [script for script in NEEDED if not drill.script(script)]:
        raise ValueError(f"drill {name} lacks the script {', '.join(missing)}")
    if not drill.wrong:
        raise ValueError(f"drill {name} lacks wrong/: at least one repair that must not pass")
    return drill


def drills(folder: Path = FOLDER) -> dict[str, Drill]:
    """All drills by name, the easy ones first.

    Raises:
        Problem: a folder is none of a drill, and why.
    """
    found = []
    for path in sorted(folder.glob("*/drill.yml")):
        try:
            found.append(read(path.parent))
        except (ValueError, TypeError, re.error, yaml.YAMLError) as error:
            raise Problem(f"The folder {path.parent} is no drill: {error}") from error
    return {drill.id: drill for drill in sorted(found, key=lambda drill: (drill.level, drill.id))}


def causes(folder: Path = FOLDER) -> dict[str, str]:
    """The closed list of causes: a sentence by name."""
    found: dict[str, str] = yaml.safe_load((folder / CAUSES).read_text(encoding="utf-8"))
    return found


def decoys(folder: Path = FOLDER) -> dict[str, str]:
    """Harmless events that a seed may add to any drill: texts of scripts by name."""
    return _scripts_of(folder / DECOYS)


def _scripts_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*"))}


def _typed(kind: type[Any], row: Mapping[str, Any], what: str, **known: object) -> Any:  # noqa: ANN401 - of the kind
    given = {entry.name for entry in fields(kind)} - known.keys()
    needed = {entry.name for entry in fields(kind) if entry.default is MISSING and entry.default_factory is MISSING}
    if wrong := sorted(row.keys() - given):
        raise ValueError(f"{what} has {', '.join(wrong)}; known are {', '.join(sorted(given))}")
    if missing := sorted(needed - row.keys() - known.keys()):
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    parts = {"where": Place, "evidence": Evidence}
    values = {
        key: tuple(_typed(parts[key], entry, f"{what}: {key}") for entry in value)
        if key in parts and kind is Drill
        else value
        for key, value in row.items()
    }
    return kind(**values, **known)


def _known(what: str, names: Any, known: set[str]) -> None:  # noqa: ANN401 - strings to go through
    if unknown := sorted(set(names) - known):
        raise ValueError(f"{what}: there is no {', '.join(unknown)}; take of {', '.join(sorted(known))}")

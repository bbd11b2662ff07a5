"""The table of daemons, ansible/vars/daemons.yml, which playbooks read as well."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import yaml

from tools import ROOT

TABLE = ROOT / "ansible" / "vars" / "daemons.yml"
OPEN_TO = ("itself", "hosts", "people")


@dataclass(frozen=True)
class Port:
    """Something that a daemon listens on.

    Attributes:
        port: TCP port.
        open_to: Who may reach it: the host `itself`, all `hosts` of the cluster, or `people` with browsers, too.
    """

    port: int
    open_to: str

    def __post_init__(self) -> None:
        if self.open_to not in OPEN_TO:
            raise ValueError(f"open_to is {self.open_to!r}; take one of {', '.join(OPEN_TO)}")


@dataclass(frozen=True)
class Daemon:
    """A row of the table.

    Attributes:
        unit: Its systemd unit, without ending.
        group: Group of the inventory whose hosts run it.
        product: Product of its programs, as it lies in /opt, which has versions; empty when that is our own code.
        ports: What it listens on, by name.
        timer: Whether a timer starts it, so that it is a job and no daemon.
    """

    unit: str
    group: str
    product: str = ""
    ports: Mapping[str, Port] = field(default_factory=dict)
    timer: bool = False

    @property
    def service(self) -> str:
        """The unit with its ending."""
        return f"{self.unit}.service"


def read(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Daemon]:
    """Daemons by name.

    Raises:
        ValueError: A row has a key that no daemon has, or lacks one.
    """
    known = {entry.name for entry in fields(Daemon)}
    for name, row in rows.items():
        if wrong := sorted(row.keys() - known):
            raise ValueError(f"daemon {name} has {', '.join(wrong)}; a row has {', '.join(sorted(known))}")
        if missing := sorted({"unit", "group"} - row.keys()):
            raise ValueError(f"daemon {name} lacks {', '.join(missing)}")
    return {
        name: Daemon(
            unit=row["unit"],
            group=row["group"],
            product=row.get("product", ""),
            ports={port: Port(**entry) for port, entry in row.get("ports", {}).items()},
            timer=row.get("timer", False),
        )
        for name, row in rows.items()
    }


@cache
def table() -> Mapping[str, Daemon]:
    """The table of this checkout."""
    return read(yaml.safe_load(TABLE.read_text(encoding="utf-8"))["daemons"])


def of_groups(groups: Collection[str]) -> list[Daemon]:
    """The daemons and jobs of a host that is in these groups, in the table's order."""
    return [daemon for daemon in table().values() if daemon.group in groups]


def units_of(group: str) -> list[str]:
    """The units, without ending, of the daemons that every host of a group runs; jobs are not among them."""
    return [daemon.unit for daemon in table().values() if daemon.group == group and not daemon.timer]


def port(daemon: str, name: str) -> int:
    """The port that a daemon has under a name."""
    return table()[daemon].ports[name].port

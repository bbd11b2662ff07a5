"""The jobs: what the last batch says of itself, and what systemd says of the units."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from retail_webapp.sources.polled import PolledSource

UNITS = {"batch": "retail-batch", "streaming": "retail-streaming", "producer": "retail-producer"}
TIMERS = {"batch": "retail-batch.timer"}

RUNS = "runs.jsonl"
"""Beside the report of the last run, a line for each of the last ones."""

# sd_booted(3): the folder is there on a host that systemd started.
BOOTED = Path("/run/systemd/system")
SYSTEMCTL_SECONDS = 5
PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus"),
    *("ActiveEnterTimestamp", "ExecMainStartTimestamp", "ExecMainExitTimestamp", "NextElapseUSecRealtime"),
)


class Run(BaseModel):
    """A batch run, as its line in the list of runs says; it writes more than is shown."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    started: datetime
    seconds: float
    files_read: int = 0
    rows_read: int = 0
    clean: int = 0
    quarantined: int = 0
    result: str
    """`published`, `nothing new`, `partial` or `failed`."""

    message: str = ""


class Column(BaseModel):
    """A name of a header."""

    model_config = ConfigDict(frozen=True)

    name: str
    means: str = ""
    """The canonical column that the batch took it for; empty when it knows none of that name."""


class Header(BaseModel):
    """The header of a file of which the batch could use no row."""

    model_config = ConfigDict(frozen=True)

    lacks: str
    """What would make the file usable, in words."""

    columns: tuple[Column, ...] = ()
    others: int = 0
    """How many names follow those."""


class LastRun(Run):
    """Report of the last batch run, which says more than its line."""

    finished: datetime
    repeated: int = 0
    corrected: int = 0
    dates_published: tuple[str, ...] = Field(default=())
    publication: int = 0
    headers: Mapping[str, Header] = Field(default_factory=dict)
    """By path below the input folder, of files of which no row can be used for their header."""


@dataclass(frozen=True)
class Unit:
    """A service as systemd sees it, with the next run of its timer."""

    installed: bool
    state: str
    """The state in a few words: running, waiting, failed (exit code 1)."""

    good: bool
    started: datetime | None
    """Start of its last process (UTC)."""

    ended: datetime | None
    """End of that process; None while it runs."""

    next_run: datetime | None


@dataclass(frozen=True)
class Jobs:
    """What is known of the jobs."""

    last_run: LastRun | None
    units: Mapping[str, Unit] = field(default_factory=dict)
    """By name of the job; empty without systemd."""

    without_systemd: str | None = None
    """Why there are no units."""

    runs: tuple[Run, ...] = ()
    """The last runs, oldest first."""


class JobsSource(PolledSource[Jobs]):
    """Reads the report of the batch and asks systemd, which needs no privilege."""

    def __init__(self, report: Path, *, interval: float, how_to_fill: str) -> None:
        super().__init__(f"{report} and systemd", interval=interval, product="The report", how_to_fill=how_to_fill)
        self._file = report

    def computed_at(self, found: Jobs) -> datetime | None:
        """The end of the last batch."""
        return found.last_run.finished if found.last_run else None

    def look(self) -> Jobs | None:
        """The report and the units; None when there is neither."""
        units, reason = ask_systemd()
        try:
            last_run = LastRun.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            last_run = None
        if last_run is None and not units:
            return None
        return Jobs(last_run, units, reason, read_runs(self._file.with_name(RUNS)))


def read_runs(file: Path) -> tuple[Run, ...]:
    """The list of runs, oldest first; none before the first one."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    return tuple(Run.model_validate_json(line) for line in lines)


def ask_systemd() -> tuple[dict[str, Unit], str | None]:
    """The units by job, or why they are not known."""
    if not BOOTED.is_dir():
        return {}, "systemd does not run this machine"
    names = [*(f"{unit}.service" for unit in UNITS.values()), *TIMERS.values()]
    command = ["systemctl", "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", *names]
    # A timer's next run has no form but text, whatever --timestamp says.
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=SYSTEMCTL_SECONDS, env=environment
        )
    except subprocess.CalledProcessError as error:
        return {}, str(error.stderr).strip().splitlines()[-1] if error.stderr else str(error)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {}, str(error)
    return units_of(done.stdout), None


def units_of(shown: str) -> dict[str, Unit]:
    """The units by job, from the text of `systemctl show` in UTC and the C locale."""
    found = {}
    for block in shown.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[properties.get("Id", "")] = properties
    return {
        job: _unit(found[f"{unit}.service"], found.get(TIMERS.get(job, ""), {}))
        for job, unit in UNITS.items()
        if f"{unit}.service" in found
    }


def _unit(service: Mapping[str, str], timer: Mapping[str, str]) -> Unit:
    running = service["ActiveState"] in ("active", "activating", "deactivating", "reloading")
    running = running and service["SubState"] != "auto-restart"  # between two attempts
    state, good = _state(service, timer)
    return Unit(
        installed=service["LoadState"] == "loaded",
        state=state,
        good=good,
        started=_moment(service.get("ExecMainStartTimestamp", "")),
        ended=None if running else _moment(service.get("ExecMainExitTimestamp", "")),
        next_run=_moment(timer.get("NextElapseUSecRealtime", "")),
    )


def _state(service: Mapping[str, str], timer: Mapping[str, str]) -> tuple[str, bool]:
    """The state in a few words, and whether it is well."""
    if service["LoadState"] != "loaded":
        return "not installed", False
    active, result = service["ActiveState"], service.get("Result", "")
    if service["SubState"] == "auto-restart":
        return f"restarting after {result} {service.get('ExecMainStatus', '')}".strip(), False
    if active in ("active", "activating", "reloading"):
        return "running", True
    if result not in ("", "success"):
        return f"failed ({result} {service.get('ExecMainStatus', '')})", False
    if timer:
        waits = timer.get("ActiveState") == "active"
        return ("waiting for its timer", True) if waits else ("its timer is stopped", False)
    return "stopped", False


def _moment(text: str) -> datetime | None:
    """A time as systemctl writes it in UTC; None for none."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None

"""What a host says about its units. Runs there, sent over SSH, with nothing but Python's library.

    ssh HOST sudo python3 - kafka.service nginx.service < tools/health/probe.py

Prints one JSON object: `now` (seconds since 1970), `memory` (bytes of all processes, shared pages counted
once), `failed` (names of failed units), `units`: by name the properties of `systemctl show` and `memory`, and
`products`: by name the version that runs and those that are kept.
"""

import calendar
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus"),
    *("ActiveEnterTimestamp", "StateChangeTimestamp", "ExecMainStartTimestamp", "ExecMainExitTimestamp"),
    "NextElapseUSecRealtime",
)


def systemctl(*arguments: str) -> str:
    """Output of systemctl."""
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    command = ["systemctl", "--no-pager", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout


def memory_by_unit() -> dict[str, int]:
    """Bytes by unit, from the proportional set size of its processes; "" for processes of no unit.

    Memory accounting of the kernel would be simpler, but hosts in containers do not always have it.
    """
    found: dict[str, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups = (process / "cgroup").read_text()
            pss = re.search(r"^Pss:\s+(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
        except OSError:  # it ended meanwhile, or is a thread of the kernel
            continue
        units = re.findall(r"/([^/\n]+\.service)", groups)
        name = units[-1] if units else ""
        found[name] = found.get(name, 0) + (int(pss.group(1)) * 1024 if pss else 0)
    return found


def seconds(value: str) -> str:
    """A time, as systemctl writes it, as seconds since 1970 with an @ in front; other values stay.

    `--timestamp=unix` does that for most times, but not for a timer's next run.
    """
    try:
        return f"@{calendar.timegm(time.strptime(value, '%a %Y-%m-%d %H:%M:%S UTC'))}"
    except ValueError:
        return value


def properties(units: list[str]) -> dict[str, dict[str, str]]:
    """Properties by unit."""
    shown = systemctl("show", "--timestamp=unix", "--property", ",".join(PROPERTIES), "--", *units)
    found = {}
    for block in shown.strip().split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[pairs.get("Id", "")] = {name: seconds(value) for name, value in pairs.items()}
    return found


def products() -> dict[str, dict[str, Any]]:
    """Versions of what lies in /opt: the one that the link of a product leads to, and those beside it."""
    found = {}
    for link in (path for path in Path("/opt").iterdir() if path.is_symlink()):
        runs, *beside = [
            folder.name.removeprefix(f"{link.name}-")
            for folder in (link.readlink(), *Path("/opt").glob(f"{link.name}-[0-9]*"))
        ]
        kept = {version for version in beside if re.fullmatch(r"\d+(\.\d+)*", version)} - {runs}
        found[link.name] = {"runs": runs, "kept": sorted(kept)}
    return found


def main() -> None:
    """Print the answer."""
    memory = memory_by_unit()
    units = {name: {**values, "memory": memory.get(name, 0)} for name, values in properties(sys.argv[1:]).items()}
    failed = [line.split()[0] for line in systemctl("list-units", "--failed", "--plain", "--no-legend").splitlines()]
    answer = {
        "now": time.time(),
        "memory": sum(memory.values()),
        "failed": failed,
        "units": units,
        "products": products(),
    }
    print(json.dumps(answer))


main()

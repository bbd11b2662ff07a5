"""Deployment: `make lab` against a bare shell sequence that does the same work, and against finding nothing to change.

    python -m bench.deploy

Both begin with hosts that answer and have nothing yet, and end when the dashboard shows a batch's result and a live
window; the CSV of the batch must be the same to the byte. Both copy the same archives to the hosts over SSH and unpack
them, make users, write settings, format, start, wait until the daemons answer, make folders and topics, bring the
input, run the batch once and fetch its CSV.

The base tree and the hosts are made before, for both, and not counted; the downloads are there. Only `make lab` looks
at the machine, the inventory and the sums of the archives, asks what is there already, and renders the settings:
`bare_deploy.sh` gets those that `make lab` wrote, as files. It comes second, so whatever a first run warms up is warm.

Works in a fresh clone with the downloads and archives of this checkout, beside a lab that runs. Takes root and some ten
minutes; everything is taken away at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from bench import Ratio, show
from tests.labs import ROOT, TestLab, clone, derive
from tools.terminal import Problem, console, fetch, run

# What a deployment wrote on a host, but for its users.
SETTINGS = """cd / && sudo find etc usr/local -newer etc/machine-id -not -type d -not -path 'etc/passwd*' \
    -not -path 'etc/group*' -not -path 'etc/*shadow*' -print0 | sudo tar --create --null --files-from=-"""


def timed(name: str, *command: str | Path, folder: Path = ROOT, until: Callable[[], None] | None = None) -> float:
    """Run a command, its output in a log; return how long it took in seconds, with the wait for what it brings about.

    Raises:
        Problem: it failed; the text is the end of its output.
    """
    console.print(f"{name} ...")
    log = ROOT / "tests" / "output" / "bench" / f"{name.replace(' ', '_')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    started = time.monotonic()
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if done.returncode:
        raise Problem(f"{name} failed ({log}):\n{log.read_text()[-3000:]}")
    if until:
        until()
    seconds = time.monotonic() - started
    console.print(f"{name}: {seconds:.0f} s")
    return seconds


def wait_for_data(lab: TestLab) -> None:
    """Wait until the dashboard shows the result of a batch and a live window.

    Raises:
        Problem: it shows none for two minutes.
    """
    deadline = time.monotonic() + 120
    for path in ("/api/daily", "/api/windows"):
        while True:
            if json.loads(fetch(lab.url("dashboard") + path))["rows"]:
                break
            if time.monotonic() > deadline:
                raise Problem(f"{lab.url('dashboard')}{path} shows nothing for two minutes")
            time.sleep(0.2)


def keep_archives(checkout: Path, folder: Path) -> None:
    """Link the archives that are deployed, without those of other versions, into a folder."""
    folder.mkdir()
    artefacts = checkout / ".cache" / "artefacts"
    for row in json.loads((artefacts / "manifest.json").read_text()).values():
        os.link(artefacts / row["file"], folder / row["file"])


def keep_settings(lab: TestLab, folder: Path) -> None:
    """Pack what the deployment wrote on each host into <host>.tar."""
    folder.mkdir()
    for host in yaml.safe_load((lab.inventory / "hosts.yml").read_text())["all"]["hosts"]:
        with (folder / f"{host}.tar").open("wb") as file:
            subprocess.run(["ssh", "-F", lab.ssh_config, host, SETTINGS], stdout=file, check=True)


def main() -> None:
    """Measure, and print the ratios."""
    if os.geteuid():
        raise Problem("Hosts are made as root: sudo .venv/bin/python -m bench.deploy")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".cache") as name:
        folder = Path(name)
        checkout = clone(folder)
        lab = derive("lab", "bench", "192.168.59", 14000, checkout=checkout)
        archives, settings, result = folder / "archives", folder / "settings", folder / "daily_revenue.csv"

        def make(verb: str, what: str, until: Callable[[], None] | None = None) -> float:
            return timed(what, "make", f"INVENTORY={lab.inventory}", verb, folder=checkout, until=until)

        def shown() -> None:
            wait_for_data(lab)

        make("artefacts", "make artefacts")
        try:
            hosts = make("hosts", "make hosts")
            deployed = make("lab", "make lab", shown)
            again = make("lab", "make lab again", shown)
            keep_archives(checkout, archives)
            keep_settings(lab, settings)
            make("destroy", "make destroy")
            make("hosts", "make hosts again")
            bare = timed(
                "bare shell", ROOT / "bench/bare_deploy.sh", lab.ssh_config, archives, settings, lab.data / "input",
                result, until=shown,
            )  # fmt: skip
        finally:
            make("destroy", "make destroy")
        if result.read_bytes() != (lab.data / "output/analysis_csv/daily_revenue.csv").read_bytes():
            raise Problem("The bare sequence's batch gave another result than that of `make lab`")
    show(
        [
            Ratio("make lab on hosts just made, to a bare shell sequence that does the same", deployed / bare, 2),
            Ratio("make lab with nothing to change, to the first with its hosts", again / (hosts + deployed), 0.2),
        ]
    )


if __name__ == "__main__":
    run(main)

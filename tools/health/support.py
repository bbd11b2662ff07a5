"""`make bundle-support`: what somebody who helps from afar needs to know, of all hosts, in one archive.

    python -m tools.health.support          # prints where it lies

Units, the ends of the journals, settings, versions, the health of the cluster and its timeline. Hosts that are down
are told by name, and the others are asked all the same. What looks like a secret is taken out by the rules below,
before anything is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import platform
import re
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools import ROOT
from tools import cluster as clusters
from tools.cluster import Cluster, Host, UnreachableError
from tools.health import timeline
from tools.health.snapshot import gather
from tools.health.units import expected_jobs, expected_units
from tools.health.verdicts import size
from tools.terminal import Problem, console, run

COLLECT = Path(__file__).with_name("collect.py")
FOLDER = ROOT / ".cache" / "support"
KEPT = 5
"""Archives that are kept; older ones go."""
HOST_SECONDS = 120
TIMELINE_SECONDS = 6 * 3600
HOST_CHARACTERS = 8_000_000
REMOVED = "(removed)"

_KEY = r"[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credentials?|api[_.-]?key|private[_.-]?key)[\w.-]*"
SECRETS: tuple[tuple[str, str], ...] = (
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", REMOVED),
    (rf"(<name>\s*{_KEY}\s*</name>\s*<value>)[^<]*", rf"\1{REMOVED}"),
    (rf"""((?<![\w.-]){_KEY}["']?\s*[:=]\s*)("[^"\n]*"|'[^'\n]*'|[^\s,;&"']+)""", rf"\1{REMOVED}"),
    (rf"(--{_KEY}[ =])\S+", rf"\1{REMOVED}"),
    (r"(?<=://)[^\s/@:]+:[^\s/@]+(?=@)", REMOVED),
    (r"(\b(?:Bearer|Basic) )[\w.~+/=-]{8,}", rf"\1{REMOVED}"),
)
"""What is taken out, and what stands there instead; later ones see what earlier ones have left."""


def without_secrets(text: str) -> str:
    """The text, with what looks like a secret taken out."""
    for pattern, instead in SECRETS:
        text = re.sub(pattern, instead, text, flags=re.IGNORECASE | re.DOTALL)
    return text


def of_host(cluster: Cluster, host: Host) -> dict[str, str]:
    """Files about a host, by name; one that says why when it does not answer."""
    units = [unit.removesuffix(".service") for unit in (*expected_units(cluster, host), *expected_jobs(cluster, host))]
    collect = COLLECT.read_text(encoding="utf-8")
    try:
        done = host.run(f"sudo -n python3 - {shlex.join(units)}", stdin=collect, timeout=HOST_SECONDS)
        if done.code:
            return {"missing.txt": f"{host.name} told nothing: {done.last_words}\n"}
        files: dict[str, str] = json.loads(done.out)
    except UnreachableError as error:
        return {"missing.txt": f"{host.name} cannot be reached: {error}\n"}
    except ValueError as error:
        return {"missing.txt": f"{host.name} told something that is no JSON: {error}\n"}
    left, kept = HOST_CHARACTERS, {}
    for name, text in files.items():
        kept[name], left = text[:left], max(0, left - len(text))
    return kept


def of_control(cluster: Cluster) -> dict[str, str]:
    """Files about the machine that this runs on, and about the cluster as a whole."""

    def told(what: Callable[[], str]) -> str:
        try:
            return what()
        except (OSError, ValueError, KeyError, TypeError, Problem) as error:
            return f"{type(error).__name__}: {error}\n"

    pieces: dict[str, Callable[[], str]] = {
        "health.json": lambda: json.dumps(dataclasses.asdict(gather(cluster, blocks=False)), indent=1, default=sorted),
        "timeline.jsonl": lambda: _timeline(cluster),
        "inventory.json": lambda: json.dumps(
            {name: dict(host.variables) for name, host in cluster.hosts.items()}, indent=1
        ),
        "versions.txt": _versions,
    }
    with ThreadPoolExecutor(max_workers=len(pieces)) as pool:  # at once: the slowest one bounds the time
        return dict(zip(pieces, pool.map(told, pieces.values()), strict=True))


def _timeline(cluster: Cluster) -> str:
    found = timeline.gather(cluster, time.time() - TIMELINE_SECONDS)
    notes = [json.dumps({"note": note}, ensure_ascii=False) for note in found.notes]
    return "".join(f"{line}\n" for line in (*notes, *map(timeline.as_json, found.events)))


def _versions() -> str:
    commands = (["git", "describe", "--always", "--dirty"], ["ansible", "--version"], ["ssh", "-V"])
    said = [platform.platform(), platform.python_version()]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        said.append(f"{' '.join(command)}: {(done.stdout or done.stderr).strip()}")
    return "\n".join(said) + "\n"


def write(path: Path, files: Mapping[str, str]) -> None:
    """Write an archive of text files, secrets taken out, whole or not at all; only its owner may read it."""
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    top = path.name.removesuffix(".tar.gz")
    with os.fdopen(descriptor, "wb") as output, tarfile.open(fileobj=output, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            content = without_secrets(text).encode(errors="replace")
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o644
            archive.addfile(entry, io.BytesIO(content))
    part.rename(path)


def make(cluster: Cluster) -> Path:
    """Ask everything, write the archive, and delete all but the newest.

    Returns:
        Where it lies.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        control = pool.submit(of_control, cluster)
        hosts = cluster.on_all(lambda host: of_host(cluster, host))
        files = dict(control.result())
    files |= {f"{host}/{name}": text for host, of_one in hosts.items() for name, text in of_one.items()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"support-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"
    write(path, files)
    for former in sorted(FOLDER.glob("support-*.tar.gz"))[:-KEPT]:
        former.unlink()
    return path


def say(path: Path) -> None:
    """Say where an archive lies, and what to think of before it is sent."""
    console.print(
        f"For whoever helps you: {path.relative_to(ROOT)} ({size(path.stat().st_size)}): units, journals, settings, "
        "health and timeline of all hosts. What looks like a secret was taken out; look into it before you send it.",
        markup=False,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Make an archive and say where it lies."""
    parser = argparse.ArgumentParser(description="Units, journals, settings, versions and health of all hosts.")
    parser.add_argument("-i", "--inventory", action="append", default=[], help="instead of ANSIBLE_INVENTORY")
    options = parser.parse_args(argv)
    run(lambda: say(make(clusters.from_inventory(options.inventory))))


if __name__ == "__main__":
    main()

"""What a host tells for `make bundle-support`. Runs there, sent over SSH, with nothing but Python's library.

    ssh HOST sudo python3 - kafka nginx < tools/health/collect.py

Prints one JSON object: by the name of a file in the bundle its text, each cut to LIMIT characters.
"""

import json
import subprocess
import sys
from pathlib import Path

LIMIT = 400_000  # characters of one file; of a journal the last ones
FILES = 200  # settings of a host
SECONDS = 20  # for one command
SETTINGS = ("hadoop", "kafka", "spark", "retail", "nginx", "haproxy", "systemd/system", "sysctl.d", "hosts")
# Never read, whatever is in them: keys, certificates with keys, keytabs.
SECRET_SUFFIXES = (".key", ".pem", ".jks", ".keystore", ".truststore", ".p12", ".pfx", ".keytab", ".htpasswd")


def said(*command: str) -> str:
    """What a command printed, errors included."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"$ {' '.join(command)}\n{error}\n"
    return f"$ {' '.join(command)}\n{done.stdout}{done.stderr}\n"


def settings() -> dict[str, str]:
    """Text files of the products' settings."""
    found: dict[str, str] = {}
    for place in SETTINGS:
        top = Path("/etc") / place
        for path in sorted(top.rglob("*") if top.is_dir() else [top]):
            if len(found) == FILES:
                return found
            if path.is_symlink() or not path.is_file() or path.name.endswith(SECRET_SUFFIXES):
                continue
            try:
                found[f"settings{path}"] = path.read_text(encoding="utf-8")[:LIMIT]
            except (OSError, UnicodeDecodeError):
                continue
    return found


def main(units: list[str]) -> None:
    """Print all of it."""
    plain = ("--no-pager", "--full")
    journal = ("journalctl", "--no-pager", "--quiet", "--output=short-iso-precise")
    files = {
        "units.txt": said("systemctl", "list-units", "--all", "--type=service,timer,mount", *plain)
        + said("systemctl", "list-timers", "--all", *plain)
        + said("systemctl", "status", "--lines=0", *plain, *units)
        + said("systemctl", "show", *units),
        "versions.txt": said("uname", "-a")
        + said("cat", "/etc/os-release")
        + said("ls", "-l", "/opt")
        + said("java", "-version")
        + said("python3", "--version")
        + said("systemctl", "--version"),
        "machine.txt": said("date", "--iso-8601=seconds")
        + said("uptime")
        + said("free", "--mebi")
        + said("df", "--human-readable")
        + said("df", "--inodes")
        + said("ip", "-brief", "address")
        + said("ss", "-ltnp")
        + said("ps", "-eo", "pid,user,stat,pcpu,rss,etime,comm", "--sort=-rss"),
        "journal/warnings.log": said(*journal, "--priority=warning", "--lines=1000")[-LIMIT:],
    }
    for unit in units:
        files[f"journal/{unit}.log"] = said(*journal, f"--unit={unit}", "--lines=1000")[-LIMIT:]
    print(json.dumps({name: text[-LIMIT:] for name, text in (files | settings()).items()}))


main(sys.argv[1:])

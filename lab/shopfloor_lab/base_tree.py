"""The read-only Debian tree below all hosts, built once per recipe."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .machine import end_with_parent, remove_tree, run, unmount_below
from .model import LabError
from .progress import Progress

SUITE = "bookworm"
# What the hosts have beside a minimal Debian. acl: Ansible needs it to become a user who is not root.
PACKAGES = (
    "acl", "ca-certificates", "curl", "dbus", "haproxy", "iproute2", "iputils-ping", "less", "libpam-systemd",
    "libsnappy1v5", "nano", "netbase", "nftables", "nginx-light", "openjdk-17-jre-headless", "openssh-server", "procps",
    "python3", "python3-apt", "rsync", "sudo", "systemd", "systemd-sysv", "zstd",
)  # fmt: skip
_SUITES = {SUITE, f"{SUITE}-updates", f"{SUITE}-security", f"{SUITE}/updates"}
_LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
_SETUP = Path(__file__).with_name("setup.sh")
_CUSTOMIZE = Path(__file__).with_name("customize.sh")
_APT_OPTIONS = ('Acquire::Languages "none"', 'APT::Install-Recommends "false"')
# mmdebstrap's helpers are the system's own, also where the user has another Python first on the path.
_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROXY_VARIABLES = {"http_proxy": "Acquire::http::Proxy", "https_proxy": "Acquire::https::Proxy"}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is in the tree."""

    packages: tuple[str, ...]
    architecture: str
    authorities: str

    @property
    def folder_name(self) -> str:
        """Name of the finished tree's folder in the cache."""
        text = json.dumps([SUITE, self.packages, self.architecture, self.authorities, _APT_OPTIONS])
        text += "".join(hook.read_text(encoding="utf-8") for hook in (_SETUP, _CUSTOMIZE))
        return f"base-{self.architecture}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def recipe() -> Recipe:
    """The recipe on this machine: its architecture, and the certificate authorities its owner added."""
    authorities = hashlib.sha256()
    for certificate in sorted(_LOCAL_AUTHORITIES.glob("**/*.crt")):
        authorities.update(certificate.read_bytes())
    architecture = run(["dpkg", "--print-architecture"]).strip()
    return Recipe(PACKAGES, architecture, authorities.hexdigest())


def ensure(cache: Path, wanted: Recipe, in_use: set[str], progress: Progress) -> Path:
    """Give the folder of the finished tree; if it has to be built, drop those that no lab stands on.

    Raises:
        LabError: the build failed; the message names its log.
    """
    target = cache / wanted.folder_name
    if target.is_dir():
        return target
    with _only_one_builder(cache, progress) as lock:
        if target.is_dir():
            return target
        for leftover in cache.glob("base-*.part"):
            unmount_below(leftover)
            remove_tree(leftover)
        _build(target, wanted, lock, progress)
        for former in cache.glob(f"{target.name.rpartition('-')[0]}-*"):
            if former.is_dir() and former.name not in {target.name, *in_use}:
                remove_tree(former)
                former.with_name(former.name + ".log").unlink(missing_ok=True)
                progress.say(f"former base tree {former.name} deleted: no lab uses it")
    return target


@contextlib.contextmanager
def _only_one_builder(cache: Path, progress: Progress) -> Iterator[int]:
    handle = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("waiting: another lab of this checkout builds the base tree")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _build(target: Path, wanted: Recipe, lock: int, progress: Progress) -> None:
    """Build beside the target and rename at the end, so that the tree is there whole or not at all."""
    part = target.with_name(target.name + ".part")
    (part / "tmp").mkdir(parents=True)
    log = target.with_name(target.name + ".log")
    progress.change(f"building the base tree, Debian {SUITE} with {len(wanted.packages)} packages (log: {log})")
    # A mount namespace of its own: whatever ends the build also ends its mounts.
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
    ]
    command += [f"--architectures={wanted.architecture}", f"--include={','.join(wanted.packages)}"]
    command += [f"--aptopt={option}" for option in (*_APT_OPTIONS, *_proxies())]
    command += [
        f'--setup-hook=sh {_quote(_SETUP)} "$1"',
        f'--essential-hook=mkdir -p "$1"{_LOCAL_AUTHORITIES}'
        f' && find {_LOCAL_AUTHORITIES} -name "*.crt" -exec cp -t "$1"{_LOCAL_AUTHORITIES} {{}} +',
        f'--customize-hook=sh {_quote(_CUSTOMIZE)} "$1"',
        SUITE,
        str(part / "tree"),
    ]
    sources = _sources()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(part / "tmp"), "PATH": _PATH}
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, *(["-"] if sources else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            # mmdebstrap ends when this program does, and holds its lock until it has cleaned up.
            preexec_fn=end_with_parent,
            pass_fds=(lock,),
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(sources)
        process.stdin.close()
        for line in process.stdout:
            output.write(line)
            if line.startswith("I: ") and line.rstrip().endswith("..."):
                progress.say(f"  {line[3:].strip()}")
    if process.wait() != 0:
        said = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("E")]
        raise LabError(f"The base tree could not be built: {' / '.join(said[:3]) or 'no reason given'} (all in {log}).")
    (part / "tree").rename(target)
    remove_tree(part)
    progress.say(f"base tree ready: {target}")


def _sources() -> str:
    """This machine's own Debian sources when it has the suite (perhaps a mirror); else mmdebstrap's."""
    if shutil.which("apt-get") is None:
        return ""
    listing = run(
        ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
         "Created-By: Packages"],
    )  # fmt: skip
    rows = {tuple(line.split()) for line in listing.splitlines() if len(line.split()) == 3}
    found = {(uri, release) for uri, release, component in rows if release in _SUITES and component == "main"}
    if SUITE not in {release for _, release in found}:
        return ""
    return "".join(f"deb {uri} {release} main\n" for uri, release in sorted(found, key=lambda row: (row[1], row[0])))


def _proxies() -> list[str]:
    """The proxies that apt uses on this machine, from its configuration or the environment."""
    found = {option: os.environ[variable] for variable, option in _PROXY_VARIABLES.items() if os.environ.get(variable)}
    if shutil.which("apt-config") is not None:
        for line in run(["apt-config", "dump", "--format", "%f\t%v%n"]).splitlines():
            option, _, value = line.partition("\t")
            if option in _PROXY_VARIABLES.values() and value:
                found[option] = value
    return [f'{option} "{value}"' for option, value in sorted(found.items())]


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"

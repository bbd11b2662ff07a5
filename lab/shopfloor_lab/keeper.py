"""The process that keeps a lab running: starts its hosts and published ports, restarts what must come back.

It reads what to run from `lab.json` (again on SIGHUP), writes what runs to `state.json`, and on SIGTERM shuts
all hosts down cleanly. Its children end when it does, so a lab never runs unwatched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import network
from .machine import (
    cgroup_roots,
    end_with_parent,
    identity,
    is_unified,
    kill_cgroups,
    remove_cgroups,
    systemd_runs_here,
    wait_steps,
)
from .model import Host, Lab, LabError, Publication, parse

REBOOT_EXIT_CODE = 133
SHUTDOWN_PATIENCE = 120.0
NETWORK_SECONDS = 10.0
_PROXY = "/lib/systemd/systemd-socket-proxyd"
_POWEROFF = signal.SIGRTMIN + 3
_WAKING = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


@dataclass
class Child:
    """A process of the keeper: a host or a forwarder."""

    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    since: float = 0.0
    error: str = ""

    def running(self) -> bool:
        """Whether it runs; collects its exit code otherwise."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Port(Child):
    """A published port: the listening socket stays with the keeper, whatever happens to the forwarder."""

    listener: socket.socket | None = None
    row: Publication | None = None


@dataclass
class Keeper:
    """State of one lab while it runs."""

    home: Path
    lab: Lab = field(init=False)
    cgroups: list[Path] = field(init=False)
    hosts: dict[str, Child] = field(default_factory=dict)
    ports: dict[int, Port] = field(default_factory=dict)
    generation: int = 0
    stopping: bool = False
    shut_out: bool = False

    def run(self) -> None:
        """Keep the lab until told to stop."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
        self.cgroups = _own_cgroups(f"shopfloor-{self.home.name}")
        self.reload()
        while True:
            received = signal.sigtimedwait(_WAKING, NETWORK_SECONDS)
            if received is None:
                self.look_at_network()
            elif received.si_signo in (signal.SIGTERM, signal.SIGINT):
                break
            elif received.si_signo == signal.SIGHUP:
                self.reload()
            else:
                self.collect()
        self.stop()

    def look_at_network(self) -> None:
        """Write down when the machine's firewall begins or ceases to drop what the hosts send."""
        try:
            shut_out = network.is_shut_out(self.lab)
        except (LabError, ValueError) as error:
            say(f"the machine's firewall cannot be read: {error}")
            return
        if shut_out != self.shut_out:
            self.shut_out = shut_out
            say(f"the machine's firewall {'drops' if shut_out else 'lets through'} what the hosts send")
            self.write_state()

    def reload(self) -> None:
        """Bring what runs to what `lab.json` says."""
        described = json.loads((self.home / "lab.json").read_text(encoding="utf-8"))
        try:
            lab = parse(described["lab"])
        except LabError as error:
            # Running hosts matter more than a description written by another version of this program.
            say(f"lab.json is not taken over: {error}")
            return
        self.lab = lab
        self._drop_ports([port for port, kept in self.ports.items() if kept.row not in lab.publications])
        self._power_off([name for name in self.hosts if name not in {host.name for host in lab.hosts}])
        for host in lab.hosts:
            if not self.hosts.setdefault(host.name, Child()).running():
                self.start_host(host)
        for row in lab.publications:
            if not self.ports.setdefault(row.port, Port(row=row)).running():
                self.start_port(row)
        self.generation = int(described["generation"])
        self.write_state()

    def collect(self) -> None:
        """Restart hosts that rebooted and forwarders that ended; leave a host that was powered off alone."""
        for host in self.lab.hosts:
            child = self.hosts[host.name]
            if child.process is None or child.running():
                continue
            code = child.process.returncode
            child.process = None
            say(f"{host.name}: ended with exit code {code}")
            if code == REBOOT_EXIT_CODE:
                self.start_host(host)
            elif code != 0:
                child.error = f"ended with exit code {code}"
        for row in self.lab.publications:
            port = self.ports[row.port]
            if port.process is not None and not port.running():
                say(f"port {row.port}: forwarder ended with exit code {port.process.returncode}")
                # A forwarder that cannot run would otherwise be restarted without a pause.
                if time.monotonic() - port.since < 1:
                    port.process, port.error = None, "its forwarder ends at once"
                else:
                    self.start_port(row)
        self.write_state()

    def start_host(self, host: Host) -> None:
        """Boot a host."""
        cgroups = [root / host.name for root in self.cgroups]
        kill_cgroups(cgroups, 0)
        remove_cgroups(cgroups)
        for folder in cgroups:
            _make_cgroup(folder)
            _limit_memory(folder, host.memory_mib)
        command = [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only",
            f"--directory={self.lab.host_tree(host.name)}", f"--machine={self.lab.name}-{host.name}",
            f"--hostname={host.name}", f"--network-bridge={self.lab.bridge}", "--resolv-conf=off",
            "--timezone=off", "--link-journal=no",
        ]  # fmt: skip
        child = self.hosts[host.name]
        log = self.home / "log" / f"{host.name}.log"
        with log.open("ab") as output:
            child.process = _spawn(command, output.fileno(), lambda: _enter(cgroups))
        child.starts += 1
        child.since = time.monotonic()
        child.error = ""
        say(f"{host.name}: started as process {child.process.pid}")

    def start_port(self, row: Publication) -> None:
        """Listen on a published port and start its forwarder."""
        port = self.ports[row.port]
        port.row = row
        port.error = ""
        if port.listener is None:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", row.port))
                listener.listen(128)
            except OSError as error:
                listener.close()
                port.error = str(error.strerror)
                say(f"port {row.port}: {port.error}")
                return
            port.listener = listener
        descriptor = port.listener.fileno()
        target = f"{self.lab.host(row.host).address}:{row.target}"
        # The forwarder takes the socket the way systemd passes one: as descriptor 3, with its own process id.
        command = ["sh", "-c", f'LISTEN_FDS=1 LISTEN_PID=$$ exec {_PROXY} "$0"', target]
        port.process = _spawn(command, sys.stderr.fileno(), lambda: os.dup2(descriptor, 3), keep=(3,))
        port.starts += 1
        port.since = time.monotonic()
        say(f"port {row.port}: leads to {row.host} {target}")

    def stop(self) -> None:
        """End everything, hosts by a clean shutdown."""
        self.stopping = True
        self.write_state()
        self._drop_ports(list(self.ports))
        self._power_off(list(self.hosts))
        self.write_state()
        remove_cgroups(self.cgroups)

    def _drop_ports(self, numbers: list[int]) -> None:
        for number in numbers:
            port = self.ports.pop(number)
            if port.process is not None and port.running():
                port.process.terminate()
                port.process.wait()
            if port.listener is not None:
                port.listener.close()

    def _power_off(self, names: list[str]) -> None:
        running = {name: child for name in names if (child := self.hosts[name]).running()}
        for child in running.values():
            assert child.process is not None
            child.process.terminate()
        asked = time.monotonic()
        for _ in wait_steps(SHUTDOWN_PATIENCE):
            running = {name: child for name, child in running.items() if child.running()}
            if not running:
                break
            # A host that has only just begun to boot does not listen yet: ask again.
            if time.monotonic() - asked > 3:
                asked = time.monotonic()
                for child in running.values():
                    _signal_leader(child)
        for name in names:
            if name in running:
                say(f"{name}: did not shut down within {SHUTDOWN_PATIENCE:.0f} s and is killed")
            cgroups = [root / name for root in self.cgroups]
            kill_cgroups(cgroups, 0 if name in running else 2)
            process = self.hosts.pop(name).process
            if process is not None:
                process.wait()
            remove_cgroups(cgroups)

    def write_state(self) -> None:
        """Write what runs, for the lab's commands and for anyone who asks who holds a port."""
        state: dict[str, Any] = {
            "keeper": identity(os.getpid()),
            "generation": self.generation,
            "stopping": self.stopping,
            "shut_out": self.shut_out,
            "cgroups": [str(root) for root in self.cgroups],
            "hosts": {name: _describe(child) for name, child in self.hosts.items()},
            "ports": {str(number): _describe(port) for number, port in self.ports.items()},
        }
        part = self.home / "state.json.part"
        part.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        part.rename(self.home / "state.json")


def say(text: str) -> None:
    """Write a line to the keeper's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _describe(child: Child) -> dict[str, Any]:
    process = identity(child.process.pid) if child.process is not None and child.running() else None
    return {"process": process, "starts": child.starts, "error": child.error}


def _spawn(
    command: list[str], output: int, prepare: Callable[[], object], keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    def before_exec() -> None:
        # A host whose keeper ends powers off by itself.
        end_with_parent()
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        prepare()

    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        preexec_fn=before_exec, pass_fds=keep,
    )  # fmt: skip


def _signal_leader(child: Child) -> None:
    assert child.process is not None
    pid = child.process.pid
    with contextlib.suppress(OSError):
        for leader in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(leader), _POWEROFF)


def _own_cgroups(name: str) -> list[Path]:
    """Make the lab's folder in every hierarchy: the unit that systemd delegated to us, or one at the top."""
    roots = []
    for mount, own in cgroup_roots().items():
        root = own if systemd_runs_here() else mount / name
        if not _make_cgroup(root):
            continue
        if is_unified(root):
            # Version 2 allows processes only in leaves: step aside before the controllers are handed down.
            if systemd_runs_here():
                _make_cgroup(root / "keeper")
                (root / "keeper" / "cgroup.procs").write_text(str(os.getpid()))
            _hand_down_controllers(root)
        roots.append(root)
    return roots


def _make_cgroup(folder: Path) -> bool:
    """Make a cgroup; in a container its hierarchy may be read-only, and would only limit and measure."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        say(f"{folder} cannot be made: {error.strerror}")
        return False
    return os.access(folder, os.W_OK)


def _hand_down_controllers(folder: Path) -> None:
    for controller in (folder / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _limit_memory(folder: Path, mebibytes: int | None) -> None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if mebibytes is not None and (folder / name).exists():
            (folder / name).write_text(str(mebibytes * 2**20))


def _enter(cgroups: list[Path]) -> None:
    for folder in cgroups:
        (folder / "cgroup.procs").write_text(str(os.getpid()))


if __name__ == "__main__":
    Keeper(Path(sys.argv[1])).run()

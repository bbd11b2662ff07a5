"""Up, down, destroy, snapshot, rewind: each brings a lab from any state, a half-made one too, to the wanted one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import access, base_tree, guest, network, snapshots
from .keeper import SHUTDOWN_PATIENCE
from .machine import (
    alive,
    cgroup_members,
    cgroup_roots,
    kill_cgroups,
    mounts_below,
    remove_cgroups,
    remove_tree,
    run,
    systemd_runs_here,
    unmount_below,
    wait_steps,
)
from .model import Lab, LabError, bare, parse, to_dict
from .progress import Progress

_START_PATIENCE = 20.0
_READY_PATIENCE = 300.0


def up(lab: Lab) -> Progress:
    """Make every host of the lab run and answer."""
    _require_root()
    _refuse_taken_ports(lab, _state(lab))
    network.refuse_overlap(lab)
    _make_home(lab)
    progress = Progress(lab.home / "log" / "lab.log")
    with _exclusive(lab.home):
        _start(lab, progress)
    return progress


def down(lab: Lab) -> Progress:
    """Shut the lab down and undo what it did to this machine; its data stays."""
    _require_root()
    progress = Progress(lab.home / "log" / "lab.log" if (lab.home / "log").is_dir() else None)
    if not lab.home.is_dir():
        _clear_leftovers(lab, progress)
        return progress
    with _exclusive(lab.home):
        _stop(lab, progress)
    return progress


def destroy(lab: Lab) -> Progress:
    """End the hosts at once and delete everything that belongs to the lab."""
    _require_root()
    progress = Progress()
    if not lab.home.is_dir():
        _clear_leftovers(lab, progress)
        return progress
    with _exclusive(lab.home):
        # Nothing of them stays: daemons that wait for each other while they stop would only take minutes.
        _stop(lab, progress, patience=0)
        access.forget(lab)
        remove_tree(lab.home)
        progress.change(f"{lab.home} deleted")
    with contextlib.suppress(OSError):
        lab.home.parent.rmdir()
    return progress


def snapshot(lab: Lab, name: str, lacked: list[str]) -> Progress:
    """Keep the state of all hosts under a name; hosts that run are shut down for it, and started again.

    Args:
        lab: The lab as it was last brought up.
        name: Of the snapshot.
        lacked: What its cluster lacks now.
    """
    with _made(lab) as (known, progress):
        snapshots.refuse_new(known, lab, name)
        runs = alive(_state(lab).get("keeper"))
        _stop(lab, progress)
        # A snapshot that is listed is on the disk, whatever happens to this machine.
        run(["sync", "--file-system", lab.home])
        snapshots.take(known, lab, name, lacked)
        _write_json(lab.home / "lab.json", known)
        progress.change(f"snapshot {name} taken")
        if runs:
            _start(lab, progress)
    return progress


def rewind(lab: Lab, name: str) -> Progress:
    """Bring all hosts back to a snapshot and start them; what they have become since is given up."""
    with _made(lab) as (known, progress):
        snapshots.go_back(known, lab, name)
        # Nothing of it stays, so there is nothing to shut down in order.
        _stop(lab, progress, patience=0)
        _write_json(lab.home / "lab.json", known)
        progress.change(f"all hosts are back at snapshot {name}")
        _start(lab, progress)
    return progress


def forget(lab: Lab, name: str) -> Progress:
    """Delete a snapshot; its layers go when nothing stands on them."""
    with _made(lab) as (known, progress):
        snapshots.find(known, lab, name)
        del snapshots.kept(known)[name]
        _write_json(lab.home / "lab.json", known)
        progress.change(f"snapshot {name} deleted")
        if not snapshots.remove_unused(known, lab):
            progress.say("its disk space is not free yet: the hosts, or a later snapshot, stand on it")
    return progress


def stored(root: Path, name: str) -> Lab:
    """The lab as it was last brought up, whatever has become of its inventory since.

    Raises:
        LabError: name or place cannot be those of a lab.
    """
    nothing = bare(name, root)
    try:
        return parse({**_read(nothing.home / "lab.json")["lab"], "root": str(root)})
    except (LabError, KeyError):
        return nothing


def _start(lab: Lab, progress: Progress) -> None:
    known = _read(lab.home / "lab.json")
    state = _state(lab)
    if state and not alive(state.get("keeper")):
        _clear_leftovers(lab, progress)
        state = {}
    base = _base(lab, known, progress)
    if not known:
        # From here on, `down` and `destroy` know what was meant even if nothing more is done.
        known = {"lab": to_dict(lab), "base": base.name, "generation": 0}
        _write_json(lab.home / "lab.json", known)
    network.up(lab, progress)
    keys = access.ensure(lab, progress)
    _remove_dropped_hosts(lab, known, state, progress)
    public = access.public_half(lab.home / "id_ed25519")
    for host in lab.hosts:
        if guest.mount(lab, host, base, snapshots.layers(known)):
            progress.change(f"{host.name}: tree mounted")
        written = guest.write_files(lab, host, public, keys[host.name])
        if written:
            progress.change(f"{host.name}: {len(written)} files of its own written")
    _keep(lab, base, known, state, progress)
    for name, failed in access.wait_ready(lab, _READY_PATIENCE, lambda name: _ended(lab, name)).items():
        if failed:
            progress.say(f"{name}: these units have failed: {failed}")
    progress.say(f"{len(lab.hosts)} hosts are ready: " + ", ".join(host.name for host in lab.hosts))
    if snapshots.remove_unused(known, lab):
        progress.change("layers that nothing stands on any more deleted")


@contextlib.contextmanager
def _made(lab: Lab) -> Iterator[tuple[dict[str, Any], Progress]]:
    """What `lab.json` says of a lab that is there, and the lab to oneself.

    Raises:
        LabError: it was never made, or another command is at work on it.
    """
    _require_root()
    if not (lab.home / "lab.json").is_file():
        raise LabError(f"There is no lab {lab.name} here: `make lab` makes one.")
    with _exclusive(lab.home):
        yield _read(lab.home / "lab.json"), Progress(lab.home / "log" / "lab.log")


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("Hosts on this machine are made as root: `make hosts` asks sudo for it.")


def _make_home(lab: Lab) -> None:
    for folder in (lab.root / ".cache", lab.home.parent, lab.home):
        if not folder.is_dir():
            folder.mkdir(mode=0o755, parents=True)
            os.chown(folder, *lab.owner)
    for folder in (lab.home / "log", lab.home / "hosts"):
        folder.mkdir(mode=0o755, exist_ok=True)


@contextlib.contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise LabError(f"Another command is at work on the lab in {home}: wait for it, then go on.") from None
    finally:
        os.close(handle)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(lab: Lab) -> dict[str, Any]:
    return _read(lab.home / "state.json")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as output:
        output.write(json.dumps(content, indent=2) + "\n")
        output.flush()
        os.fsync(output.fileno())
    part.rename(path)


def _base(lab: Lab, known: dict[str, Any], progress: Progress) -> Path:
    """The tree below the hosts: a lab keeps the one it was made with, for its own layers fit no other."""
    cache = lab.root / ".cache"
    wanted = base_tree.recipe()
    used = known.get("base")
    made = any((lab.host_home(host.name) / snapshots.FIRST).is_dir() for host in lab.hosts)
    if not used or not made or used == wanted.folder_name:
        in_use = {str(_read(other).get("base")) for other in lab.home.parent.glob("*/lab.json")}
        return base_tree.ensure(cache, wanted, in_use, progress)
    if not (cache / used).is_dir():
        raise LabError(
            f"The base tree {used} below lab {lab.name} is gone and, its recipe having changed, cannot be "
            "made again: destroy the lab and make it anew."
        )
    progress.say(f"the lab keeps its base tree {used}; a lab made anew gets {wanted.folder_name}")
    return cache / str(used)


def _refuse_taken_ports(lab: Lab, state: dict[str, Any]) -> None:
    own = {int(port) for port, child in state.get("ports", {}).items() if alive(child.get("process"))}
    for row in lab.publications:
        if row.port in own:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", row.port))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                why = f"is in use by {_holder(lab, row.port)}" if taken else f"cannot be used: {error.strerror}"
                raise LabError(
                    f"Port {row.port} of this machine ({row.name}) {why}. Stop that, or change "
                    f"lab_publish.{row.name}.port in inventories/{lab.name}."
                ) from None


def _holder(lab: Lab, port: int) -> str:
    for other in lab.home.parent.glob("*/state.json"):
        if alive(_read(other).get("ports", {}).get(str(port), {}).get("process")):
            return f"the lab {other.parent.name}"
    named = re.search(r'"([^"]+)",pid=(\d+)', run(["ss", "-Hltnp", f"sport = :{port}"], check=False))
    return f"{named[1]} (process {named[2]})" if named else "another program"


def _remove_dropped_hosts(lab: Lab, known: dict[str, Any], state: dict[str, Any], progress: Progress) -> None:
    """Delete hosts that have left the inventory; the keeper ends the running ones first."""
    if not known:
        return
    former = {str(host["name"]) for host in known["lab"]["hosts"]}
    dropped = former - {host.name for host in lab.hosts}
    if not dropped:
        return
    if state:
        _tell_keeper(lab, lab.root / ".cache" / str(known["base"]), known, state)
    if lost := snapshots.drop_hosts(known, dropped):
        _write_json(lab.home / "lab.json", known)
        progress.change(f"snapshots with hosts that have left the inventory deleted: {', '.join(lost)}")
    for name in sorted(dropped):
        unmount_below(lab.host_home(name))
        remove_tree(lab.host_home(name))
        progress.change(f"{name}: has left the inventory and was deleted")


def _tell_keeper(lab: Lab, base: Path, known: dict[str, Any], state: dict[str, Any]) -> None:
    generation = int(known.get("generation", 0)) + 1
    known.update({"lab": to_dict(lab), "base": base.name, "generation": generation})
    _write_json(lab.home / "lab.json", known)
    if state:
        os.kill(int(state["keeper"]["pid"]), signal.SIGHUP)
        running: subprocess.Popen[bytes] | None = None
    else:
        running = _start_keeper(lab)
    for _ in wait_steps(_START_PATIENCE + (SHUTDOWN_PATIENCE if state else 0)):
        now = _state(lab)
        if now.get("generation") == generation and alive(now.get("keeper")):
            state.clear()
            state.update(now)
            return
        if running is not None and running.poll() is not None:
            break
    raise LabError(f"The keeper of lab {lab.name} does not start: see {lab.home / 'log' / 'keeper.log'}.")


def _keep(lab: Lab, base: Path, known: dict[str, Any], state: dict[str, Any], progress: Progress) -> None:
    """Make the keeper run, and run what the inventory says."""
    if _all_run(lab, state) and known.get("lab") == to_dict(lab):
        return
    _tell_keeper(lab, base, known, state)
    progress.change("hosts started")
    for number, port in state["ports"].items():
        if port["error"]:
            raise LabError(f"Port {number} of lab {lab.name} cannot be published: {port['error']}.")


def _ended(lab: Lab, name: str) -> str:
    """Why a host that was started does not run; empty while it does."""
    child = _state(lab).get("hosts", {}).get(name, {})
    if alive(child.get("process")):
        return ""
    return str(child.get("error", "")) or "it was powered off"


def _all_run(lab: Lab, state: dict[str, Any]) -> bool:
    children = [state.get("hosts", {}).get(host.name) for host in lab.hosts]
    children += [state.get("ports", {}).get(str(row.port)) for row in lab.publications]
    return all(child is not None and alive(child.get("process")) for child in children)


def _start_keeper(lab: Lab) -> subprocess.Popen[bytes] | None:
    package = Path(__file__).parent
    command = [sys.executable, "-B", "-m", f"{package.name}.keeper", str(lab.home)]
    log = lab.home / "log" / "keeper.log"
    if systemd_runs_here():
        # A unit of its own survives the logout, may manage its part of the cgroup tree, and is stopped in
        # order when the machine goes down.
        properties = ["Delegate=yes", "KillMode=mixed", f"TimeoutStopSec={SHUTDOWN_PATIENCE + 30:.0f}",
                      "TasksMax=infinity", "OOMPolicy=continue", f"WorkingDirectory={package.parent}",
                      f"StandardOutput=append:{log}", f"StandardError=append:{log}"]  # fmt: skip
        run(["systemd-run", "--quiet", "--collect", f"--unit={lab.unit}",
             *(f"--property={row}" for row in properties), *command])  # fmt: skip
        return None
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=package.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def _stop(lab: Lab, progress: Progress, patience: float = SHUTDOWN_PATIENCE) -> None:
    state = _state(lab)
    keeper = state.get("keeper") if state else None
    if alive(keeper):
        assert keeper is not None
        access.close_connections(lab)
        if patience:
            progress.change("shutting the hosts down")
            os.kill(int(keeper["pid"]), signal.SIGTERM)
            for _ in wait_steps(patience + 20):
                if not alive(keeper):
                    break
        if alive(keeper):
            os.kill(int(keeper["pid"]), signal.SIGKILL)
    _clear_leftovers(lab, progress, patience)


def _clear_leftovers(lab: Lab, progress: Progress, patience: float = SHUTDOWN_PATIENCE) -> None:
    """Undo whatever a lab has left on this machine, in whatever state it was left."""
    access.close_connections(lab)
    if systemd_runs_here():
        run(["systemctl", "stop", f"{lab.unit}.service"], check=False)
    folders = [Path(folder) for folder in _state(lab).get("cgroups", [])]
    if not systemd_runs_here():
        folders += [mount / lab.unit for mount in cgroup_roots()]
    if cgroup_members(folders):
        # Hosts whose keeper died are shutting down by themselves.
        progress.change("waiting for hosts without a keeper to end" if patience else "ending the hosts")
        kill_cgroups(folders, patience)
    remove_cgroups(folders)
    if mounts_below(lab.home):
        unmount_below(lab.home)
        progress.change("trees unmounted")
    network.down(lab, progress)
    (lab.home / "state.json").unlink(missing_ok=True)

"""The file system of a host: its own layer over the base tree, and the few files that make it this host."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from .machine import mounts_below, run
from .model import Host, Lab, LabError

# Hosts cannot reach a resolver on this machine's loopback address; systemd-resolved lists the real ones here.
_RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
_OPS = 1000


@dataclass(frozen=True)
class GuestFile:
    """A file that the lab owns in a host."""

    path: str
    content: str
    mode: int = 0o644
    owner: int = 0
    group: int = 0


def mount(lab: Lab, host: Host, base: Path, layers: list[str]) -> bool:
    """Mount the host's tree; says whether it was not mounted.

    Args:
        lab: The lab.
        host: The host.
        base: The tree below everything.
        layers: Folders in the host's home to put over it, the lowest first; the last is written to.

    Raises:
        LabError: the file system of the checkout cannot hold the upper layer.
    """
    home = lab.host_home(host.name)
    tree = lab.host_tree(host.name)
    if tree in mounts_below(tree):
        return False
    for folder in (*(home / layer for layer in layers), home / "work", tree):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    *frozen, top = layers
    # Without redirects a folder of a lower layer cannot be renamed, and Kafka renames those of topics that it deletes.
    # Names relative to the host's home, and the older of mount's two ways: all options together may have 4095 bytes in
    # it, and each of them 255 in the newer one.
    lower = ":".join([*reversed(frozen), str(base)])
    options = f"lowerdir={lower},upperdir={top},workdir=work,redirect_dir=on,index=off,metacopy=off"
    try:
        old_way = ["env", "LIBMOUNT_FORCE_MOUNT2=always"]
        run([*old_way, "mount", "-t", "overlay", lab.unit, "-o", options, tree], cwd=home)
    except LabError as error:
        raise LabError(
            f"The file system of {home} cannot hold the layer of a host: keep the checkout on a local disk "
            f"(ext4, xfs or btrfs), not on a network share or another overlay. ({error})"
        ) from None
    return True


def write_files(lab: Lab, host: Host, public_key: str, host_key: str) -> list[str]:
    """Bring the lab's files in a mounted tree to their content; gives the paths that were not."""
    written = []
    with opened(lab.host_tree(host.name)) as top:
        for file in [*_files(lab, host, public_key, host_key), *_first_files(top, host)]:
            try:
                if write(top, file):
                    written.append(file.path)
            except OSError as error:
                raise LabError(
                    f"Host {host.name} does not start: its /{file.path} cannot be written ({error.strerror}). "
                    f"Repair it in {lab.host_home(host.name)}, or destroy the lab and make it anew."
                ) from None
    return written


def _files(lab: Lab, host: Host, public_key: str, host_key: str) -> list[GuestFile]:
    network = f"""[Match]
Name=host0

[Network]
Address={host.address}/{lab.subnet.prefixlen}
Gateway={lab.gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
    return [
        GuestFile("etc/hostname", f"{host.name}\n"),
        GuestFile("etc/systemd/network/10-host0.network", network),
        GuestFile("etc/resolv.conf", _resolv_conf()),
        GuestFile("etc/ssh/ssh_host_ed25519_key", host_key, 0o600),
        GuestFile("home/ops/.ssh/authorized_keys", public_key, 0o600, _OPS, _OPS),
    ]


def _first_files(top: int, host: Host) -> list[GuestFile]:
    """What a host has to have and then keeps or gets from its deployment."""
    first = []
    if len(_read(top, "etc/machine-id") or "") < 32:
        first.append(GuestFile("etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444))
    if host.name not in (_read(top, "etc/hosts") or "").split():
        first.append(GuestFile("etc/hosts", f"127.0.0.1 localhost\n{host.address} {host.name}\n"))
    return first


def _resolv_conf() -> str:
    for source in _RESOLVERS:
        with contextlib.suppress(FileNotFoundError):
            lines = source.read_text(encoding="utf-8").splitlines()
            servers = [line.split()[1] for line in lines if line.startswith("nameserver ")]
            reachable = [server for server in servers if not ip_address(server.partition("%")[0]).is_loopback]
            if reachable:
                options = [line for line in lines if line.startswith(("search ", "options "))]
                return "".join(f"{line}\n" for line in [*(f"nameserver {server}" for server in reachable), *options])
    return "# This machine has no resolver that a host can reach.\n"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Give a descriptor of a folder, for `write`."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _parent(top: int, path: str) -> Iterator[int]:
    """Open the folder of a path below `top`; follows no links, for a host's may lead out of its tree."""
    handle = os.dup(top)
    try:
        for part in Path(path).parent.parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _read(top: int, path: str) -> str | None:
    with _parent(top, path) as folder, contextlib.suppress(OSError):
        handle = os.open(Path(path).name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
            return file.read()
    return None


def write(top: int, file: GuestFile) -> bool:
    """Bring a file below the folder `top` to its content, mode and owner; says whether it was not so.

    Raises:
        OSError: a folder on its path is missing or a link.
    """
    name = Path(file.path).name
    with _parent(top, file.path) as folder:
        if _read(top, file.path) == file.content:
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_IMODE(facts.st_mode) == file.mode and facts.st_uid == file.owner:
                return False
        fresh = f".{name}.lab"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=folder)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, file.mode, dir_fd=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            output.write(file.content)
            os.fchmod(output.fileno(), file.mode)
            os.fchown(output.fileno(), file.owner, file.group)
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True

"""Makes the Vagrant box of the provider LXC: the base tree of the lab's hosts, with Vagrant's user.

It is made here from what is here already, and a machine made of it has its packages before it is deployed to. As root:

    .venv/bin/python -m lab.vagrant.lxc_box shopfloor-lxc.box

and then, as the user who calls Vagrant: vagrant box add --name shopfloor/debian12 shopfloor-lxc.box
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.shopfloor_lab import base_tree
from lab.shopfloor_lab.model import LabError
from lab.shopfloor_lab.progress import Progress
from tools import ROOT
from tools.terminal import Problem, console, run, step

METADATA = '{"provider": "lxc", "version": "1.0.0"}\n'
# Without the common configuration /sys could be written to, and systemd-networkd would wait for udev for ever.
CONFIG = "lxc.include = /usr/share/lxc/config/common.conf\nlxc.apparmor.profile = unconfined\n"
# On the network that LXC itself makes. The vendor's file for containers sorts after this one.
NETWORK = """[Match]
Name=eth0

[Network]
DHCP=ipv4
LinkLocalAddressing=no

[DHCPv4]
ClientIdentifier=mac
"""
RESOLVER = "nameserver 10.0.3.1\n"  # LXC's own, on the bridge that it makes
# Every container makes its own host keys when it first starts.
SSH = """[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
"""
# The key that every fresh box lets in; Vagrant replaces it with one of its own when it makes a machine.
INSECURE_KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v"
    "1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4"
    "O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk"
    "1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key"
)
# Above the tree, which is not touched: $1 is the tree, $2 a folder to work in. In a mount namespace of its own.
LAYER = """
mkdir "$2/upper" "$2/work" "$2/rootfs"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/rootfs"
cp -a "$2/files/." "$2/rootfs/"
chroot "$2/rootfs" sh -eu <<'INSIDE'
userdel --remove ops
rm /etc/sudoers.d/ops
useradd --create-home --shell /bin/bash --uid 1000 --groups systemd-journal vagrant
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 0600 -o vagrant -g vagrant /key /home/vagrant/.ssh/authorized_keys
rm /key
echo 'vagrant ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/vagrant
chmod 0440 /etc/sudoers.d/vagrant
INSIDE
tar --create --numeric-owner --directory="$2" ./rootfs | gzip -1 > "$2/rootfs.tar.gz"
"""


def make(tree: Path, box: Path) -> None:
    """Make a box.

    Args:
        tree: The base tree of the lab's hosts.
        box: The file to write, on a file system that can hold it twice.

    Raises:
        Problem: Something could not be made; the message holds what was said.
    """
    with tempfile.TemporaryDirectory(dir=box.parent, prefix=".box-") as name:
        work = Path(name)
        files = {
            work / "metadata.json": METADATA,
            work / "lxc-config": CONFIG,
            work / "files/key": INSECURE_KEY + "\n",
            work / "files/etc/hosts": "127.0.0.1 localhost\n",
            work / "files/etc/resolv.conf": RESOLVER,
            work / "files/etc/systemd/system/ssh.service.d/keys.conf": SSH,
            work / "files/etc/systemd/network/10-eth0.network": NETWORK,
        }
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        _do("unshare", "--mount", "--propagation", "private", "bash", "-euo", "pipefail", "-c", LAYER, "-", tree, work)
        members = ("./metadata.json", "./lxc-config", "./rootfs.tar.gz")
        _do("tar", "--create", f"--file={box}", f"--directory={work}", *members)


def _do(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"The box could not be made: {done.stderr.strip() or f'exit code {done.returncode}'}")


def tree() -> Path:
    """The base tree with the packages that the lab's hosts have; built when it is not there.

    Raises:
        Problem: It could not be built.
    """
    cache = ROOT / ".cache"
    in_use = {path.name for path in cache.glob("base-*")}  # some lab may stand on any of them
    try:
        return base_tree.ensure(cache, base_tree.recipe(), in_use, Progress())
    except LabError as error:
        raise Problem(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and make the box."""
    parser = argparse.ArgumentParser(prog="lxc_box", description="Make the Vagrant box of the provider LXC.")
    parser.add_argument("box", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    if os.geteuid():
        raise Problem("A box holds files of root: run this with sudo.")
    if not options.box.resolve().parent.is_dir():
        raise Problem(f"There is no folder {options.box.resolve().parent}: make it first.")
    with step("box"):
        make(tree(), options.box.resolve())
    console.print(f"  Now: vagrant box add --name shopfloor/debian12 {options.box}")


if __name__ == "__main__":
    run(main)

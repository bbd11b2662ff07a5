"""`vagrant up` and what follows it, for real with LXC, from a clone and in a Vagrant home of its own."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import Result, run, wait_for
from tests.labs import ROOT, TestLab, clone, derive, only_one_changes_the_firewall

PROVIDERS = ("virtualbox", "libvirt", "parallels", "vmware_desktop", "lxc")
PYTHON = str(ROOT / ".venv/bin/python")
NETWORK = "192.168.63"
BOX = "shopfloor/debian12"
LXC_BRIDGE = Path("/sys/class/net/lxcbr0")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# What Vagrant understood, by provider and machine: for this, a provider need not be installed.
CONFIGURATION = """
require "json"
require "vagrant"
env = Vagrant::Environment.new
puts(ARGV.to_h { |provider|
  [provider, env.machine_names.to_h { |name|
    vm = env.vagrantfile.machine_config(name, provider.to_sym, nil, nil, false)[:config].vm
    settings = vm.get_provider_config(provider.to_sym).instance_variables_hash
    [name, { box: vm.box, networks: vm.networks, provisioners: vm.provisioners.map(&:name), settings: settings }]
  }]
}.to_json)
"""


@dataclass(frozen=True)
class Project:
    """A clone of the checkout, with a profile of its own beside those of the repository."""

    lab: TestLab

    @property
    def checkout(self) -> Path:
        """The clone."""
        return self.lab.checkout

    @property
    def environment(self) -> dict[str, str]:
        """That of a user who has never used Vagrant."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("VAGRANT_")}
        return mine | {"VAGRANT_HOME": str(self.checkout.parent / "home"), "VAGRANT_NO_COLOR": "1"}

    def vagrant(self, *words: str, check: bool = True, **variables: str) -> Result:
        """Run vagrant as a user would, who may set variables of the environment."""
        env = self.environment | variables
        return run("vagrant", *words, cwd=self.checkout, check=check, env=env, timeout=1800)

    def refused(self, *words: str, **variables: str) -> str:
        """Run vagrant, make sure that it made nothing, and return what it said."""
        result = self.vagrant(*words, check=False, **variables)
        assert result.code, result.output
        assert not list(self.checkout.glob(".vagrant/machines/*/*/id")), result.output
        assert "\tfrom " not in result.output
        return result.output

    def make(self, *words: str, check: bool = True) -> Result:
        """Run make for the profile."""
        return run("make", *words, f"PROFILE={self.lab.name}", cwd=self.checkout, check=check)

    def ssh(self, command: str) -> str:
        """Run a shell command on the machine, by the way that make takes."""
        return run("ssh", "-F", self.lab.ssh_config, "mini1", command).output.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("vagrant")
    checkout = clone(folder)
    lab = derive("mini", "vagrant", NETWORK, 9000, checkout=checkout)
    shutil.copytree(lab.inventory, checkout / "inventories" / lab.name)
    yield Project(lab)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def lxc_network() -> Iterator[None]:
    """The network that LXC makes for containers, and nothing of it afterwards if it was not there."""
    if LXC_BRIDGE.exists():
        yield
        return
    former = FORWARDING.read_text()
    with only_one_changes_the_firewall():
        run("/usr/libexec/lxc/lxc-net", "restart")  # after a start whose bridge somebody deleted, too
        yield
        run("/usr/libexec/lxc/lxc-net", "stop")
    if not list(LXC_BRIDGE.parent.glob("sf-*")):  # no lab needs it
        FORWARDING.write_text(former)


@pytest.fixture(scope="module")
def up(project: Project, lxc_network: None) -> Iterator[Result]:
    """The machine, from nothing to the running pipeline."""
    box = project.checkout.parent / "lxc.box"
    run(PYTHON, "-m", "lab.vagrant.lxc_box", str(box))
    project.vagrant("box", "add", "--name", BOX, str(box))
    box.unlink()
    try:
        yield project.vagrant("up", "--provider", "lxc", PROFILE=project.lab.name)
    finally:
        project.vagrant("destroy", "--force", VAGRANT_DEFAULT_PROVIDER="lxc")


@pytest.fixture(scope="module")
def configuration(project: Project) -> dict[str, Any]:
    """What Vagrant understood for the profile lab."""
    words = ("ruby", "-e", CONFIGURATION, *PROVIDERS)
    printed = run(*words, cwd=project.checkout, env=project.environment | {"PROFILE": "lab"}).output
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_profile_is_all_that_the_machines_are_made_of(
    project: Project, configuration: dict[str, Any], provider: str
) -> None:
    hosts = yaml.safe_load((project.checkout / "inventories/lab/hosts.yml").read_text())["all"]["hosts"]
    machines = configuration[provider]
    assert machines.keys() == hosts.keys()
    published: dict[str, list[Any]] = {}
    for name, machine in machines.items():
        host, settings = hosts[name], machine["settings"]
        memory, cpus = host["memory_mib"], host["cpus"]
        assert machine["box"]
        if provider == "lxc":
            assert ["net.1.ipv4.address", f"{host['ansible_host']}/24"] in settings["customizations"]
            assert f"{memory}M" in (value for _, value in settings["customizations"])
        else:
            networks = [options for kind, options in machine["networks"] if kind == "private_network"]
            assert [options["ip"] for options in networks] == [host["ansible_host"]]
        if provider == "virtualbox":
            sizes = {command[-2]: command[-1] for _, command in settings["customizations"]}
            assert sizes == {"--memory": str(memory), "--cpus": cpus}
        if provider in ("libvirt", "parallels"):
            assert (settings["memory"], settings["cpus"]) == (memory, cpus)
        ports = [
            options for kind, options in machine["networks"] if kind == "forwarded_port" and options["id"] != "ssh"
        ]
        assert {options["host_ip"] for options in ports} <= {"127.0.0.1"}
        published |= {options["id"]: [options["host"], name, options["guest"]] for options in ports}
    assert published == {
        "dashboard": [5000, "edge1", 5000],
        "spark": [8080, "master1", 8080],
        "history": [18081, "edge1", 5003],
        "namenode": [9870, "edge1", 5002],
    }
    assert [name for name, machine in machines.items() if "deploy" in machine["provisioners"]] == [list(machines)[-1]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_vagrantfile_is_valid(project: Project, provider: str) -> None:
    result = project.vagrant("validate", check=False, VAGRANT_DEFAULT_PROVIDER=provider, PROFILE="lab")
    if "could not be found" in result.output or "isn't usable on this system" in result.output:
        reason = " ".join(result.output.split())
        pytest.skip(f"vagrant validate needs the provider itself: {reason}")
    assert "validated successfully" in result.output


def test_an_unknown_profile(project: Project) -> None:
    said = project.refused("up", "--provider", "lxc", PROFILE="bigger")
    assert "There is no profile bigger" in said and "lab, mini" in said


def test_an_inventory_of_machines_that_exist(project: Project) -> None:
    assert "There is no profile byo to make machines of" in project.refused("up", "--provider", "lxc", PROFILE="byo")


def test_too_little_memory(project: Project) -> None:
    file = project.checkout / "inventories/huge/hosts.yml"
    shutil.copytree(project.checkout / "inventories/mini", file.parent)
    file.write_text(file.read_text().replace("memory_mib: 4096", "memory_mib: 99000000"))
    said = project.refused("up", "--provider", "lxc", PROFILE="huge")
    assert "Profile huge needs 99000000 MiB of memory for mini1" in said
    assert "A smaller one fits: PROFILE=" in said
    assert "not created" in project.vagrant("status", PROFILE="huge").output
    shutil.rmtree(file.parent)


def test_hosts_that_the_lab_made(project: Project) -> None:
    known = project.checkout / ".lab/mini/lab.json"
    known.parent.mkdir(parents=True)
    known.write_text("{}")
    assert "make destroy PROFILE=mini" in project.refused("up", "--provider", "lxc", PROFILE="mini")
    shutil.rmtree(known.parents[1])


def test_a_network_that_this_machine_has_already(project: Project) -> None:
    run("ip", "link", "add", "vg-taken", "type", "bridge")
    try:
        run("ip", "address", "add", f"{NETWORK}.1/24", "dev", "vg-taken")
        said = project.refused("up", "--provider", "lxc", PROFILE=project.lab.name)
    finally:
        run("ip", "link", "delete", "vg-taken")
    assert f"{NETWORK}.1 is an address of this machine already" in said


def test_a_box_in_a_folder_that_is_not_there(project: Project) -> None:
    said = run(PYTHON, "-m", "lab.vagrant.lxc_box", str(project.checkout / "boxes/lxc.box"), check=False)
    assert said.code and f"There is no folder {project.checkout}/boxes: make it first." in " ".join(said.output.split())


def test_up_ends_in_the_running_pipeline(project: Project, up: Result) -> None:
    assert up.output.count("PLAY RECAP") == 2  # the look at the hosts, and the one deployment
    for address in (project.lab.url(ui) for ui in project.lab.ports):
        assert address in up.output
    project.make("check")
    project.make("status")


def test_what_is_forwarded_over_another_network_reaches_the_daemons(project: Project, up: Result) -> None:
    """VirtualBox and others forward to the machine's first address; here this machine knocks there itself."""
    address = project.ssh("ip -json -4 address show eth0 | python3 -c 'import json, sys; print(json.load(sys.stdin)"
                          "[0][\"addr_info\"][0][\"local\"])'")  # fmt: skip
    published = yaml.safe_load((project.lab.inventory / "group_vars" / "all.yml").read_text())["lab_publish"]
    for port in (row["target"] for row in published.values()):
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=20) as answer:
            assert answer.status == 200


def test_another_profile_beside_it(project: Project, up: Result) -> None:
    said = project.vagrant("up", "--provider", "lxc", check=False, PROFILE="mini")
    assert said.code and f"PROFILE={project.lab.name} vagrant destroy" in said.output


def test_provision_deploys_again(project: Project, up: Result) -> None:
    """It changes nothing where all is as it should be, and makes up for what `make destroy` took."""
    project.make("destroy")
    again = project.vagrant("provision")
    assert again.output.count("PLAY RECAP") == 2 and again.changed == 0
    project.make("status")


def test_halt_and_up_keep_the_data(project: Project, up: Result) -> None:
    """The profile need not be named again; services come back by themselves."""
    mark = "sudo cat /var/lib/hdfs/name/current/VERSION && hdfs dfs -cat /halted/mark"
    project.ssh("sudo -u hdfs hdfs dfs -mkdir /halted && echo kept | sudo -u hdfs hdfs dfs -put - /halted/mark")
    before = project.ssh(mark)
    project.vagrant("halt")
    assert "stopped" in project.vagrant("status").output
    again = project.vagrant("up")
    assert "already provisioned" in again.output and "PLAY RECAP" not in again.output
    wait_for("all units run", lambda: project.make("status", check=False).code == 0)
    wait_for("HDFS answers", lambda: project.ssh("hdfs dfsadmin -safemode get") == "Safe mode is OFF")
    project.make("check")
    assert project.ssh(mark) == before and before.endswith("kept")


def test_destroy_leaves_nothing(project: Project, up: Result) -> None:
    container = next(project.checkout.glob(".vagrant/machines/mini1/lxc/id")).read_text()
    project.vagrant("destroy", "--force")
    names = (str(project.checkout), container, f"{NETWORK}.")
    traces = {
        "containers": [line for line in run("lxc-ls", "-1").output.splitlines() if line == container],
        "cgroups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*{container}*")],
        "addresses": [line for line in run("ip", "-brief", "address").output.splitlines() if f"{NETWORK}." in line],
        "files": [str(path) for name in (".lab", ".vagrant/profile") for path in project.checkout.glob(name)],
        "processes": run("pgrep", "--full", "--list-full", "|".join(names), check=False).output.splitlines(),
    }
    assert not any(traces.values()), traces

"""terraform/ with the real program: Terraform or OpenTofu, whichever is there.

The module needs no provider. The roots' providers come from where the user's own do (TF_CLI_CONFIG_FILE,
~/.terraformrc, the registry); a root whose providers cannot be had is skipped with what the program said. No
machine is made: the providers are mocked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import ROOT
from tools.preflight import REQUIRED_GROUPS, Inventory, inventory_objections, known_variables

PROGRAM = next((program for program in ("terraform", "tofu") if shutil.which(program)), None)
ROOTS = sorted(path.parent.name for path in (ROOT / "terraform").glob("*/main.tf"))
CALLER = """
variable "profile" { default = "lab" }
variable "name" { default = "rendered" }
variable "workers" { default = null }
variable "allowed_networks" {
  type    = set(string)
  default = ["203.0.113.0/24"]
}
variable "ssh_public_key_file" { default = "../modules/cluster/tests/key.pub" }
module "cluster" {
  source              = "../modules/cluster"
  name                = var.name
  profile             = var.profile
  workers             = var.workers
  network             = "10.60.0.0/24"
  allowed_networks    = var.allowed_networks
  ssh_public_key_file = var.ssh_public_key_file
}
output "files" { value = module.cluster.files }
output "nodes" { value = module.cluster.nodes }
"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither terraform nor tofu is installed")


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = (
        os.environ | {"TF_IN_AUTOMATION": "1", "TF_CLI_ARGS": "-no-color", "CHECKPOINT_DISABLE": "1"} | settings
    )
    return subprocess.run(
        [str(PROGRAM), *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the module reads, so that inventories can be changed and nothing is left behind."""
    for name in ("terraform", "inventories"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars")
        )
    return tmp_path


@pytest.fixture
def caller(checkout: Path) -> Path:
    """A root that only shows what the module gives."""
    folder = checkout / "terraform" / "caller"
    folder.mkdir()
    (folder / "main.tf").write_text(CALLER)
    done = run(folder, "init")
    assert done.returncode == 0, done.stderr
    return folder


def shown(caller: Path, **variables: str) -> dict[str, Any]:
    """The module's outputs; nothing but the state of the outputs is written."""
    settings = {f"TF_VAR_{name}": value for name, value in variables.items()}
    done = run(caller, "apply", "-auto-approve", **settings)
    assert done.returncode == 0, done.stderr
    outputs = json.loads(run(caller, "output", "-json").stdout)
    return {name: output["value"] for name, output in outputs.items()}


def written(files: dict[str, str], folder: Path) -> Path:
    """Write the files of an inventory; its folder."""
    top = Path(next(path for path in files if path.endswith("/hosts.yml"))).parent
    for path, content in files.items():
        target = folder / Path(path).relative_to(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return folder


def described(files: dict[str, str]) -> dict[str, Any]:
    """What stands under `all` in the hosts.yml of an inventory."""
    text = next(text for path, text in files.items() if path.endswith("/hosts.yml"))
    top: dict[str, Any] = yaml.safe_load(text)["all"]
    return top


def same_everywhere(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A host's variables but for the way in and what differs between machines."""
    return {name: v for name, v in variables.items() if not name.startswith("ansible_") and name != "base_disks"}


def assert_as_written_by_hand(inventory: Path) -> None:
    """The inventory passes what the lab's passes, and is the lab but for addresses and the way in."""
    found, lab = Inventory.load(inventory), Inventory.load(ROOT / "inventories" / "lab")
    assert list(inventory_objections(found, known_variables(ROOT / "roles"))) == []
    assert {group: found.groups[group] for group in REQUIRED_GROUPS} == {
        group: lab.groups[group] for group in REQUIRED_GROUPS
    }
    assert found.hosts.keys() == lab.hosts.keys()
    for name, variables in lab.hosts.items():
        assert same_everywhere(found.hosts[name]) == same_everywhere(variables)
    done = subprocess.run(
        [ROOT / ".venv/bin/ansible-playbook", "-i", inventory, "--syntax-check", "ansible/site.yml"],
        cwd=ROOT, env=os.environ | {"ANSIBLE_CONFIG": "ansible.cfg"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_files_are_formatted() -> None:
    done = run(ROOT / "terraform", "fmt", "-check", "-recursive")
    assert done.returncode == 0, done.stdout


def test_the_module_passes_its_own_tests(checkout: Path) -> None:
    folder = checkout / "terraform" / "modules" / "cluster"
    assert run(folder, "init").returncode == 0
    done = run(folder, "test")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_inventory_is_the_lab_but_for_addresses(caller: Path, tmp_path: Path) -> None:
    inventory = written(shown(caller)["files"], tmp_path / "out")
    assert_as_written_by_hand(inventory)
    assert Inventory.load(inventory).hosts["worker1"]["ansible_host"] == "10.60.0.12"
    # Kafka numbers its nodes in the order of the inventory.
    order = list(yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["hosts"])
    assert order == list(yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())["all"]["hosts"])


def test_ssh_understands_its_configuration(caller: Path, tmp_path: Path) -> None:
    inventory = written(shown(caller)["files"], tmp_path / "out")
    done = subprocess.run(
        ["ssh", "-G", "-F", inventory / "ssh.cfg", "10.60.0.12"], capture_output=True, text=True, check=True
    )
    assert {"hostname 10.60.0.12", "user ops", "stricthostkeychecking accept-new"} <= set(done.stdout.splitlines())


def test_more_workers_come_last_and_the_others_stay(caller: Path) -> None:
    before, after = shown(caller), shown(caller, workers="11")
    assert after["nodes"].items() >= before["nodes"].items()
    rows = {name: described(outputs["files"]) for name, outputs in (("before", before), ("after", after))}
    for group, members in rows["before"]["children"].items():
        names = list(members["hosts"])
        assert list(rows["after"]["children"][group]["hosts"])[: len(names)] == names
    assert list(rows["after"]["hosts"])[-1] == "worker11"


Change = Callable[[dict[str, Any]], object]


def group(name: str, *hosts: str) -> Change:
    return lambda top: top["children"].update({name: {"hosts": {host: {} for host in hosts}}})


def host(name: str, **variables: object) -> Change:
    return lambda top: top["hosts"].update({name: top["hosts"]["worker2"] | variables})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *((group(name), f"Group {name} has no host") for name in REQUIRED_GROUPS),
        (group("kafka_controller", "master1", "worker1"), "take 1, 3 or 5"),
        (group("edge", "edge1", "worker1"), "leave one"),
        (host("My_Host", ansible_host="192.168.56.9"), "is no host name"),
        (host("worker2", ansible_host="192.168.56.12"), "worker1 and worker2 end in the same number"),
        (host("worker2", memory_mib="much"), "Host worker2 needs"),
    ],
)
def test_a_node_map_that_cannot_be(caller: Path, change: Change, said: str) -> None:
    path = caller.parent.parent / "inventories" / "lab" / "hosts.yml"
    content = yaml.safe_load(path.read_text())
    change(content["all"])
    path.write_text(yaml.safe_dump(content))
    assert_refused(caller, said)


def test_a_name_that_stands_twice(caller: Path) -> None:
    path = caller.parent.parent / "inventories" / "lab" / "hosts.yml"
    path.write_text(path.read_text().replace("    worker2: { ansible_host", "    worker1: { ansible_host"))
    assert_refused(caller, "A name stands twice")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"profile": "classroom"}, "There is no profile classroom. Take one of: byo, lab, mini"),
        ({"workers": "1"}, "has 2 workers and 1 are asked for"),
        ({"workers": "2", "profile": "mini"}, "has no worker1"),
        ({"allowed_networks": '["10.0.0.0/8"]'}, "10.0.0.0/8 of allowed_networks overlaps the private network"),
        ({"allowed_networks": '["10.60.0.128/25"]'}, "overlaps the private network"),
        ({"ssh_public_key_file": "/nowhere/key.pub"}, "There is no file /nowhere/key.pub. Make a key"),
        ({"ssh_public_key_file": "main.tf"}, "main.tf is no public key"),
        ({"name": "lab"}, "inventories/lab is there and was not made here. Take another name"),
    ],
)
def test_a_wish_that_cannot_be(caller: Path, variables: dict[str, str], said: str) -> None:
    assert_refused(caller, said, **variables)


def assert_refused(caller: Path, said: str, **variables: str) -> None:
    done = run(caller, "plan", **{f"TF_VAR_{name}": value for name, value in variables.items()})
    assert done.returncode == 1
    # The program wraps and frames what it says.
    words = " ".join(done.stderr.replace("│", " ").split())
    assert said in words


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_is_valid_and_writes_the_inventory(root: str, checkout: Path, tmp_path: Path) -> None:
    folder = checkout / "terraform" / root
    done = run(folder, "init", "-backend=false")
    if done.returncode:
        pytest.skip(f"providers of terraform/{root} cannot be had: {' '.join(done.stderr.split())[:300]}")
    done = run(folder, "validate")
    assert done.returncode == 0, done.stderr
    done = run(folder, "test", "-verbose", "-json")
    assert done.returncode == 0, done.stdout
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    state = next(message["test_state"] for message in messages if "test_state" in message)
    files = {
        resource["values"]["filename"]: resource["values"]["content"]
        for resource in state.get("values", state)["root_module"]["resources"]  # OpenTofu, Terraform
        if resource["type"] == "local_file"
    }
    inventory = written(files, tmp_path / "out")
    assert_as_written_by_hand(inventory)
    assert set(Inventory.load(inventory).hosts["worker1"]["base_disks"]) == {"/var/lib/hdfs", "/var/lib/kafka"}

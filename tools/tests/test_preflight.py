"""Inventories are real folders, read by the real ansible-inventory; what is free of the machine is given."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import ROOT, preflight
from tools.preflight import Inventory, Machine
from tools.terminal import Problem

GOOD: dict[str, Any] = yaml.safe_load((ROOT / "inventories/lab/hosts.yml").read_text())
KNOWN = preflight.known_variables(ROOT / "roles")
ROOMY = Machine("x86_64", may_become_root=True, free_memory=64_000, free_disk=100_000)
Make = Callable[..., Inventory]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write an inventory like `lab`, changed by a function, and read it back."""

    def write(change: Callable[[dict[str, Any]], object] = lambda _: None, **variables: object) -> Inventory:
        hosts = json.loads(json.dumps(GOOD))
        change(hosts["all"])
        folder = tmp_path / "inventories" / "mine"
        (folder / "group_vars").mkdir(parents=True)
        (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
        (folder / "group_vars" / "all.yml").write_text(yaml.safe_dump(variables))
        return Inventory.load(folder)

    return write


def objections(inventory: Inventory) -> list[str]:
    return list(preflight.inventory_objections(inventory, KNOWN))


@pytest.mark.parametrize("name", ["byo", "lab", "mini"])
def test_our_own_inventories_pass(name: str) -> None:
    assert objections(Inventory.load(ROOT / "inventories" / name)) == []


@pytest.mark.parametrize("name", ["byo", "lab", "mini"])
def test_workers_have_room_for_both_jobs_and_a_shell(name: str) -> None:
    inventory = Inventory.load(ROOT / "inventories" / name)
    jobs = yaml.safe_load((ROOT / "roles/jobs/defaults/main.yml").read_text())
    shell = yaml.safe_load((ROOT / "roles/spark/defaults/main.yml").read_text())["spark_app_cores"]
    workers = [inventory.hosts[host] for host in inventory.groups["spark_worker"]]
    wanted = [jobs["jobs_batch_spark"]["spark.cores.max"], jobs["jobs_streaming_spark"]["spark.cores.max"], shell]
    assert sum(worker["spark_worker_cores"] for worker in workers) >= sum(wanted)
    # An application has one executor of 512 MiB on each worker at most.
    assert all(int(worker["spark_worker_memory"].removesuffix("m")) >= 512 * len(wanted) for worker in workers)


def test_a_misspelt_variable_is_named_with_the_one_that_was_meant(make: Make) -> None:
    (found,) = objections(make(hdfs_replicaton=2))
    assert "hdfs_replicaton" in found
    assert "hdfs_replication?" in found


def test_a_variable_of_one_host_is_looked_at_too(make: Make) -> None:
    (found,) = objections(make(lambda a: a["hosts"]["worker1"].update(zzz_nothing_near=1)))
    assert "zzz_nothing_near" in found


def test_ansibles_own_variables_are_free(make: Make) -> None:
    assert objections(make(ansible_user="ops", ansible_become_timeout=3)) == []


def test_every_required_group_is_asked_for(make: Make) -> None:
    for group in preflight.REQUIRED_GROUPS:
        assert group in GOOD["all"]["children"]
    found = objections(make(lambda a: a.pop("children")))
    assert len(found) == len(preflight.REQUIRED_GROUPS)


def test_what_playbooks_tell_the_roles_is_not_the_inventorys_to_say(make: Make) -> None:
    (found,) = objections(make(kafka_brokers=["worker1"]))
    assert "kafka_brokers" in found


def test_a_host_with_kafka_and_no_node_id_is_told_which_are_free(make: Make) -> None:
    (found,) = objections(make(lambda a: a["hosts"]["worker2"].pop("node_id")))
    assert "worker2 would run Kafka without a node_id" in found and "from 3 on" in found


def test_two_hosts_with_the_same_node_id_are_named(make: Make) -> None:
    (found,) = objections(make(lambda a: a["hosts"]["worker2"].update(node_id=2)))
    assert "worker1 and worker2 have the same node_id, 2" in found


def test_a_misspelt_group_is_pointed_at(make: Make) -> None:
    (found,) = objections(make(lambda a: a["children"].update(datanodes=a["children"].pop("datanode"))))
    assert "Group datanode has no host. Is datanodes meant for it?" in found


def test_an_empty_group_is_as_good_as_none(make: Make) -> None:
    (found,) = objections(make(lambda a: a["children"].update(edge={"hosts": {}})))
    assert "Group edge has no host" in found


def test_a_group_made_of_groups_has_their_hosts(make: Make) -> None:
    inventory = make(lambda a: a["children"].update(spark_worker={"children": {"datanode": {}}}))
    assert inventory.groups["spark_worker"] == ["worker1", "worker2"]
    assert objections(inventory) == []


def put(group: str, *hosts: str) -> Callable[[dict[str, Any]], None]:
    return lambda a: a["children"].update({group: {"hosts": dict.fromkeys(hosts)}})


def test_two_controllers_are_refused(make: Make) -> None:
    (found,) = objections(make(put("kafka_controller", "master1", "worker1")))
    assert "kafka_controller has 2 hosts (master1, worker1)" in found


def test_three_controllers_are_fine(make: Make) -> None:
    assert objections(make(put("kafka_controller", "master1", "worker1", "worker2"))) == []


@pytest.mark.parametrize("group", preflight.ONE_HOST_ONLY)
def test_what_is_not_available_yet_is_refused(make: Make, group: str) -> None:
    (found,) = objections(make(put(group, "master1", "worker1")))
    assert f"Group {group} has 2 hosts" in found
    assert "leave one" in found


def test_the_mirror_is_the_edge_host(make: Make) -> None:
    (found,) = objections(make(product_mirror="worker1"))
    assert "product_mirror is worker1, which is no host of the group edge. Name edge1" in found


def test_a_mirror_on_the_edge_host_is_fine(make: Make) -> None:
    assert objections(make(product_mirror="edge1")) == []


def test_addresses(make: Make) -> None:
    def change(top: dict[str, Any]) -> None:
        top["hosts"]["worker1"]["ansible_host"] = "192.168.56.11"
        top["hosts"]["worker2"]["ansible_host"] = "192.168.56.300"
        del top["hosts"]["edge1"]["ansible_host"]

    found = "\n".join(objections(make(change)))
    assert "192.168.56.11 is given to master1 and worker1" in found
    assert "Host worker2 has ansible_host 192.168.56.300, which is no IP address" in found
    assert "Host edge1 has no ansible_host" in found


def test_memory_must_be_a_number(make: Make) -> None:
    inventory = make(lambda a: a["hosts"]["edge1"].update(memory_mib="2 GB"))
    (found,) = objections(inventory)
    assert "memory_mib '2 GB'" in found


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    with pytest.raises(Problem, match="Take one of: lab"):
        Inventory.load(tmp_path / "lba")


def test_a_folder_that_ansible_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: [")
    with pytest.raises(Problem, match="cannot read"):
        Inventory.load(tmp_path)


def machine_says(inventory: Inventory, machine: Machine, lab: Path) -> list[str]:
    return list(preflight.machine_objections(inventory, machine, lab))


def test_a_machine_that_fits(make: Make, tmp_path: Path) -> None:
    assert machine_says(make(), ROOMY, tmp_path) == []


def test_all_objections_come_at_once(make: Make, tmp_path: Path) -> None:
    poor = Machine("riscv64", may_become_root=False, free_memory=2000, free_disk=3000)
    found = machine_says(make(), poor, tmp_path)
    assert [word for word in ("riscv64", "sudo -v", "2000 MiB of memory", "3000 MiB of disk") if word in str(found)]
    assert len(found) == 4


def test_memory_is_the_sum_of_the_hosts_and_some(make: Make, tmp_path: Path) -> None:
    inventory = make()
    need = sum(host["memory_mib"] for host in GOOD["all"]["hosts"].values()) + preflight.HEADROOM_MIB
    assert machine_says(inventory, Machine("x86_64", True, need, 100_000), tmp_path) == []
    (found,) = machine_says(inventory, Machine("x86_64", True, need - 1, 100_000), tmp_path)
    assert "PROFILE=mini" in found


def test_this_machine_can_be_measured(tmp_path: Path) -> None:
    here = Machine.this(tmp_path)
    assert here.free_memory > 0
    assert here.free_disk > 0


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def own_process() -> dict[str, object]:
    stat = Path(f"/proc/{os.getpid()}/stat").read_text()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": os.getpid(), "start": int(stat.rpartition(")")[2].split()[19]), "boot": boot}


def test_a_port_in_use_is_refused_with_its_holder(make: Make, tmp_path: Path, taken: int) -> None:
    inventory = make(lab_publish={"dashboard": {"port": taken, "host": "edge1", "target": 5000}})
    (found,) = machine_says(inventory, ROOMY, tmp_path)
    assert f"Port {taken} of this machine (dashboard) is in use" in found
    assert "lab_publish in" in found


def test_a_lab_that_runs_holds_its_ports_and_memory_itself(make: Make, tmp_path: Path, taken: int) -> None:
    inventory = make(lab_publish={"dashboard": {"port": taken, "host": "edge1", "target": 5000}})
    state = {"keeper": own_process(), "ports": {str(taken): {"process": own_process()}}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert machine_says(inventory, Machine("x86_64", True, 100, 100_000), tmp_path) == []


def test_a_lab_that_was_killed_holds_nothing(make: Make, tmp_path: Path, taken: int) -> None:
    inventory = make(lab_publish={"dashboard": {"port": taken, "host": "edge1", "target": 5000}})
    gone = own_process() | {"start": 1}
    (tmp_path / "state.json").write_text(json.dumps({"keeper": gone, "ports": {str(taken): {"process": gone}}}))
    assert len(machine_says(inventory, Machine("x86_64", True, 100, 100_000), tmp_path)) == 2


def test_the_command_ends_with_one_and_says_why(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    inventory = make(put("kafka_controller", "master1", "worker1"))
    with pytest.raises(Problem, match=r"(?s)kafka_controller has 2.*Nothing was changed"):
        preflight.main(["inventory", str(inventory.folder)])

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.shopfloor_lab import access, guest, machine, model, network
from lab.shopfloor_lab.model import LabError

HOSTS = [
    {"name": "master1", "address": "192.168.56.11", "memory_mib": 1792},
    {"name": "edge1", "address": "192.168.56.14"},
]
DASHBOARD = {"port": 5000, "host": "edge1", "target": 5000}


def description(**changes: object) -> dict[str, Any]:
    return {
        "name": "lab",
        "root": "/srv/shopfloor",
        "hosts": HOSTS,
        "publish": {"dashboard": DASHBOARD},
        **changes,
    }


def test_subnet_and_gateway_follow_from_the_addresses() -> None:
    lab = model.parse(description())
    assert (str(lab.subnet), str(lab.gateway)) == ("192.168.56.0/24", "192.168.56.1")


def test_a_description_survives_being_stored() -> None:
    lab = model.parse(description(owner=[1000, 1000]))
    assert model.parse(model.to_dict(lab)) == lab


@pytest.mark.parametrize("name", ["lab", "molecule", "a-name-with-forty-characters-1234567890", "end-to-end-test"])
def test_names_derived_from_a_lab_fit_the_kernel_and_nftables(name: str) -> None:
    lab = model.parse(description(name=name))
    assert len(lab.bridge) <= 15
    assert lab.table.replace("_", "").isalnum()


def test_labs_with_long_similar_names_have_bridges_of_their_own() -> None:
    names = [f"a-test-of-the-whole-cluster-{number}" for number in range(50)]
    assert len({model.parse(description(name=name)).bridge for name in names}) == len(names)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Lab"}, "cannot name a lab"),
        ({"name": "../lab"}, "cannot name a lab"),
        ({"root": "/srv/a:b"}, "cannot be mounted"),
        ({"root": "relative"}, "cannot be mounted"),
        ({"hosts": []}, "has no hosts"),
        ({"hosts": [{"name": "master1"}]}, "Host master1 has no address"),
        ({"hosts": [{"name": "master1", "address": "here"}]}, "no IPv4 address"),
        ({"hosts": [{"name": "master_1", "address": "192.168.56.11"}]}, "cannot name a host"),
        (
            {"hosts": [*HOSTS, {"name": "x", "address": "192.168.56.11"}]},
            "master1 and x have the same address",
        ),
        ({"hosts": [*HOSTS, {"name": "x", "address": "192.168.57.2"}]}, "outside of the lab's subnet"),
        ({"hosts": [*HOSTS, {"name": "x", "address": "192.168.56.1"}]}, "needs for itself"),
        (
            {"hosts": [*HOSTS, {"name": "x", "address": "192.168.56.9", "memory_mib": "much"}]},
            "memory_mib of x",
        ),
        ({"publish": [DASHBOARD]}, "must hold rows"),
        ({"publish": {"ui": {**DASHBOARD, "host": "gone"}}}, "names host 'gone'"),
        ({"publish": {"ui": {**DASHBOARD, "to": 1}}}, "unknown key 'to'"),
        ({"publish": {"ui": {"port": 1, "host": "edge1"}}}, "no 'target'"),
        ({"publish": {"ui": {**DASHBOARD, "port": 70000}}}, "from 1 to 65535"),
        ({"publish": {"a": DASHBOARD, "b": DASHBOARD}}, "a and b have the same published port 5000"),
    ],
)
def test_a_bad_description_is_refused_with_the_place_and_the_reason(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        model.parse(description(**changes))


def test_a_lab_can_be_undone_without_its_inventory() -> None:
    assert model.bare("lab", Path("/srv/shopfloor")).home == Path("/srv/shopfloor/.lab/lab")


def test_a_process_is_told_from_a_later_one_with_the_same_number() -> None:
    own = machine.identity(os.getpid())
    assert own is not None
    assert machine.alive(own)
    assert not machine.alive({**own, "start": own["start"] - 1})
    assert not machine.alive({**own, "boot": "before"})
    assert not machine.alive(None)


def test_a_process_that_has_ended_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as process:
        known = machine.identity(process.pid)
    assert not machine.alive(known)


def test_mounts_are_found_below_a_folder_and_not_beside_it() -> None:
    assert Path("/proc") in machine.mounts_below(Path("/proc"))
    assert machine.mounts_below(Path("/pro")) == []


def test_nothing_is_deleted_that_has_a_mount_below() -> None:
    with pytest.raises(LabError, match="still mounted"):
        machine.remove_tree(Path("/proc"))


def test_shared_connections_fit_into_the_path_of_a_socket() -> None:
    for root in ("/srv/shopfloor", "/home/" + "a-long-folder-name/" * 8 + "shopfloor"):
        lab = model.parse(description(root=root))
        # ssh adds a dot and 16 characters while it makes the socket.
        assert len(f"{access.socket_folder(lab)}/255.255.255.255") + 17 <= 107


def test_rules_let_nobody_but_the_lab_open_connections() -> None:
    rules = network.rules(model.parse(description()))
    assert 'ip saddr 192.168.56.0/24 oifname != "sf-lab" masquerade' in rules
    assert 'iifname != "sf-lab" oifname "sf-lab" ct state != { established, related } drop' in rules


def test_a_file_is_written_once_and_replaces_a_link_instead_of_following_it(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "etc").mkdir(parents=True)
    outside.write_text("untouched")
    (tree / "etc" / "hostname").symlink_to(outside)
    file = guest.GuestFile("etc/hostname", "master1\n", owner=os.getuid(), group=os.getgid())
    with guest.opened(tree) as top:
        assert guest.write(top, file)
        assert not guest.write(top, file)
    assert outside.read_text() == "untouched"
    assert (tree / "etc" / "hostname").read_text() == "master1\n"


def test_a_folder_that_leads_out_of_the_tree_is_refused(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    (tree / "etc").symlink_to(outside)
    with guest.opened(tree) as top, pytest.raises(OSError, match="etc"):
        guest.write(top, guest.GuestFile("etc/hostname", "master1\n"))
    assert list(outside.iterdir()) == []

"""The table of daemons is read as it is meant, by Python and by playbooks."""

from __future__ import annotations

import re
from importlib import util
from types import ModuleType

import pytest
import yaml

from tools import ROOT, daemons
from tools.preflight import REQUIRED_GROUPS

ROWS = yaml.safe_load(daemons.TABLE.read_text())["daemons"]


def plugin(name: str) -> ModuleType:
    """A filter plugin, which is a file that Ansible finds and no package."""
    spec = util.spec_from_file_location(name, ROOT / "plugins" / "filter" / f"{name}.py")
    assert spec and spec.loader
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_group_has_a_daemon_and_every_daemon_a_group_that_an_inventory_must_have() -> None:
    assert {daemon.group for daemon in daemons.table().values()} == set(REQUIRED_GROUPS)


def test_no_two_daemons_of_a_host_want_the_same_port() -> None:
    ports = [port.port for daemon in daemons.table().values() for port in daemon.ports.values()]
    assert len(ports) == len(set(ports))


def test_a_key_that_no_daemon_has_is_refused() -> None:
    with pytest.raises(ValueError, match="daemon worker has prots"):
        daemons.read({"worker": {"unit": "spark-worker", "group": "spark_worker", "prots": {}}})


def test_a_row_without_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="daemon worker lacks group"):
        daemons.read({"worker": {"unit": "spark-worker"}})


def test_a_port_is_open_to_somebody_we_know() -> None:
    with pytest.raises(ValueError, match="itself, hosts, people"):
        daemons.Port(80, "world")


def test_a_host_listens_on_its_address_and_for_itself_on_loopback() -> None:
    found = plugin("listens_of").listens_of(ROWS, ["edge", "kafka_broker"], "10.0.0.7")
    assert found["kafka"] == ["10.0.0.7:9092"]
    assert found["retail-dashboard"] == ["127.0.0.1:8000"]
    assert found["nginx"] == ["10.0.0.7:5000", "10.0.0.7:5001", "127.0.0.1:5004"]
    assert "spark-worker" not in found


def test_a_host_in_two_groups_of_one_unit_listens_on_the_ports_of_both() -> None:
    found = plugin("listens_of").listens_of(ROWS, ["kafka_controller", "kafka_broker"], "10.0.0.7")
    assert sorted(found["kafka"]) == ["10.0.0.7:9092", "10.0.0.7:9093"]


def test_the_id_of_a_log_folder_is_one_that_kafka_takes_and_always_the_same() -> None:
    directory_id = plugin("kafka_directory_id").directory_id
    made = [directory_id(f"c2hvcGZsb29yLWxhYi0wMQ/{node}") for node in range(2000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", text) for text in made)
    assert made[1] == directory_id("c2hvcGZsb29yLWxhYi0wMQ/1")


def test_a_new_daemon_needs_no_port_written_a_second_time() -> None:
    ports = "|".join(str(port.port) for daemon in daemons.table().values() for port in daemon.ports.values())
    again = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("ansible", "roles")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path != daemons.TABLE
        for line in path.read_text().splitlines()
        if re.search(rf"(:|port\w*: )({ports})\b", line)
    ]
    assert again == []

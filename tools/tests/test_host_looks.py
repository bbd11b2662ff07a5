"""The looks at a host are taken at this machine; what it cannot show is given."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError  # type: ignore[import-untyped]

from plugins.action.host_looks import CLOCK_SECONDS, clock_findings, refusal_findings
from plugins.action.mend_table import rows
from plugins.modules import host_looks


def test_a_machine_with_too_little_memory() -> None:
    meminfo = "MemFree:  1 kB\nMemTotal:        2000000 kB\n"
    assert list(host_looks.memory_findings(meminfo, 2048)) == []  # the kernel keeps some
    (found,) = host_looks.memory_findings(meminfo, 4096)
    assert "1953 MiB of memory; memory_mib in the inventory is 4096" in found["what"]


def test_a_full_disk_is_named_by_its_folder() -> None:
    (found,) = host_looks.disk_findings({"/opt": 9000, "/var/lib": 1000}, 1536)
    assert "1000 MiB of disk are free below /var/lib" in found["what"]


def test_an_address_must_be_the_hosts_own() -> None:
    assert list(host_looks.address_findings("127.0.0.1")) == []
    (found,) = host_looks.address_findings("192.0.2.1")
    assert "192.0.2.1 is no address of its own" in found["what"]


def test_a_port_that_something_else_holds_is_told_with_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        (found,) = host_looks.port_findings({"kafka": [address]})
        assert f"process {os.getpid()}" in found["what"] and "of kafka is in use" in found["what"]
    assert list(host_looks.port_findings({"kafka": [address]})) == []


def test_a_port_that_our_own_unit_holds_is_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = host_looks.UNIT.search(Path("/proc/self/cgroup").read_text() + "0::/system.slice/kafka.service\n")
    assert unit and unit[1] == "kafka.service"
    monkeypatch.setattr(host_looks, "holders", lambda _: iter([("kafka.service", "java, process 7")]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert list(host_looks.port_findings({"kafka": [f"127.0.0.1:{server.getsockname()[1]}"]})) == []


def test_an_address_is_reached_when_it_answers_or_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert host_looks.reaches(address)
    assert host_looks.reaches(address)
    assert not host_looks.reaches("255.255.255.255:22")


@pytest.mark.parametrize("there", [100.0 - CLOCK_SECONDS, 100.0, 105.0, 110.0 + CLOCK_SECONDS])
def test_a_clock_that_agrees_lies_between_our_two_looks(there: float) -> None:
    assert list(clock_findings(100.0, there, 110.0)) == []


@pytest.mark.parametrize(("there", "words"), [(175.0, "65 s ahead of"), (-3505.0, "3605 s behind")])
def test_a_clock_that_is_wrong(there: float, words: str) -> None:
    (found,) = clock_findings(100.0, there, 110.0)
    assert words in found["what"]


@pytest.mark.parametrize(
    ("error", "said", "do"),
    [
        (AnsibleConnectionFailure("x"), "banner\nno route to host", "ssh USER@ADDRESS"),
        (AnsibleError("x"), "Missing sudo password", "sudoers.d"),
        (None, "/bin/sh: 1: sudo: not found", "sudoers.d"),
        (None, "/bin/sh: 1: /usr/bin/python3: not found", "python3"),
        (None, "", "Mend what it says"),
    ],
)
def test_what_keeps_us_out_is_told_apart(error: AnsibleError | None, said: str, do: str) -> None:
    (found,) = refusal_findings(error, said)
    assert do in found["do"]


def test_the_same_finding_of_several_hosts_is_one_row() -> None:
    row = {"what": "wrong", "do": "mend"}
    hosts = {name: {"seen": True, "unreached": [], "findings": [row]} for name in ("a", "b")}
    assert rows(hosts) == {("wrong", "mend"): ["a", "b"]}


def test_a_host_that_nobody_reaches_is_told_once() -> None:
    here = {"seen": True, "unreached": ["away"], "findings": []}
    away = {"seen": False, "unreached": [], "findings": [{"what": "away", "do": "start"}]}
    assert rows({"here": here, "away": away}) == {("away", "start"): ["away"]}
    (found,) = rows({"here": here, "away": away | {"seen": True, "findings": []}})
    assert "does not reach away" in found[0]

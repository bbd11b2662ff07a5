"""What `make lab` refuses: in one sentence that says what to do, before any host is made."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.accounts import Nobody
from tests.commands import Result, run
from tests.labs import ROOT, TestLab, clone, derive

Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.fixture
def lab() -> TestLab:
    return derive("lab", "refused", "192.168.61", 11000)


@pytest.fixture
def broken_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone with archives of its own, which a test may damage."""
    folder = tmp_path_factory.mktemp("broken")
    yield clone(folder)


def change(lab: TestLab, edit: Change) -> None:
    """Edit the inventory: the dict of group `all`, and the variables of all hosts."""
    files = lab.inventory / "hosts.yml", lab.inventory / "group_vars" / "all.yml"
    hosts, variables = (yaml.safe_load(file.read_text()) for file in files)
    edit(hosts["all"], variables)
    for file, content in zip(files, (hosts, variables), strict=True):
        file.write_text(yaml.safe_dump(content))


def refused(lab: TestLab, *before: str, checkout: Path = ROOT) -> Result:
    """Run `make lab`, and make sure that it made nothing."""
    result = run(*before, "make", "-C", str(checkout), "lab", f"INVENTORY={lab.inventory}", check=False)
    assert result.code, result.output
    assert not (checkout / ".lab" / lab.name).exists(), result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda _, variables: variables.update(kafka_heep="1g"), "Did you mean kafka_heap?"),
        (lambda group, _: group["children"].pop("kafka_broker"), "Group kafka_broker has no host"),
        (
            lambda group, _: group["children"]["kafka_controller"]["hosts"].update(worker1={}),
            "Group kafka_controller has 2 hosts (master1, worker1)",
        ),
        (
            lambda group, _: group["hosts"]["worker2"].update(ansible_host="192.168.61.12"),
            "Address 192.168.61.12 is given to worker1 and worker2",
        ),
        (lambda group, _: group["hosts"]["worker2"].update(memory_mib=99_000_000), "take a smaller one"),
    ],
    ids=["unknown variable", "missing group", "two controllers", "duplicate address", "too little memory"],
)
def test_an_inventory_that_cannot_work(lab: TestLab, edit: Change, sentence: str) -> None:
    change(lab, edit)
    assert sentence in refused(lab).output


def test_a_port_in_use(lab: TestLab) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", lab.ports["dashboard"]))
        taken.listen()
        output = refused(lab).output
    assert f"Port {lab.ports['dashboard']} of this machine (dashboard) is in use" in output
    assert "lab_publish" in output


def test_a_user_who_may_not_become_root(lab: TestLab, nobody: Nobody) -> None:
    assert "run this in a terminal, where sudo can ask for your password" in refused(lab, *nobody.prefix).output


def test_root_in_a_checkout_of_somebody_else(lab: TestLab, broken_checkout: Path) -> None:
    os.chown(broken_checkout, 65534, 65534)
    output = refused(lab, checkout=broken_checkout).output
    assert "This checkout belongs to nobody: run the command as nobody." in output


def test_an_empty_input(lab: TestLab) -> None:
    for file in (lab.data / "input").glob("*.csv"):
        file.unlink()
    output = refused(lab).output
    assert "no CSV" in output and "make sample-data" in output


def test_input_without_a_known_column(lab: TestLab) -> None:
    (lab.data / "input" / "other.csv").write_text("colour,weight\nred,3\n")
    output = refused(lab).output
    assert "other.csv" in output and "order_id,order_date" in output


def test_a_damaged_archive(lab: TestLab, broken_checkout: Path) -> None:
    archive = next((broken_checkout / ".cache" / "artefacts").glob("hadoop-*"))
    content = archive.read_bytes()
    archive.unlink()  # the other name of the file, in this checkout's cache, stays whole
    archive.write_bytes(content[:1000] + b"damage" + content[1006:])
    output = run("make", "-C", str(broken_checkout), "artefacts", check=False).output
    assert f"{archive} is damaged; nothing was deployed" in output
    assert "expected sha256" in output and "found    sha256" in output

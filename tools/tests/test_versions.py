"""Versions of products: which there are, the way back, what the inventory says; tests/test_day_two.py goes the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tools import ROOT
from tools.artefacts.products import Checkout, rows
from tools.cluster import Cluster, Host
from tools.health.snapshot import Silent
from tools.health.status import versions_line, window
from tools.health.units import Installed
from tools.terminal import Problem
from tools.tests.test_health import KAFKA, WHOLE
from tools.verbs import versions


def test_a_further_version_differs_from_its_product_in_what_its_row_says() -> None:
    table = {
        "engine": {"version": "2.0", "files": {"lib": ["org:engine:{version}"]}, "versions": {"1.9": {"drop": ["x"]}}}
    }
    found = dict(rows(table))
    assert found["engine"] == {"version": "2.0", "files": {"lib": ["org:engine:{version}"]}}
    assert found["engine@1.9"] == {"version": "1.9", "files": {"lib": ["org:engine:{version}"]}, "drop": ["x"]}


def test_jars_of_a_further_version_have_its_number() -> None:
    kafka = {product.version: product for product in Checkout.at(ROOT).products if product.base == "kafka"}
    for version, product in kafka.items():
        assert f"org.apache.kafka:kafka_2.13:{version}" in product.jars["libs"]


def test_hosts_receive_the_version_of_this_release_and_those_that_are_asked_for() -> None:
    checkout = Checkout.at(ROOT)
    newest, older = checkout.versions("kafka")
    assert not [product.name for product in checkout.chosen([]) if "@" in product.name]
    assert f"kafka@{older}" in [product.name for product in checkout.chosen([("kafka", older), ("kafka", newest)])]


@pytest.mark.parametrize("asked", [("kafka", "0.8"), ("zookeeper", "3.9"), ("kafka", "")])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(asked: tuple[str, str]) -> None:
    with pytest.raises(Problem, match=r"there is .*(4\.3\.1|kafka)"):
        Checkout.at(ROOT).chosen([asked])


def test_every_product_with_versions_has_a_playbook() -> None:
    checkout = Checkout.at(ROOT)
    assert set(versions.PLAYBOOKS) == {name for name in checkout.versioned if len(checkout.versions(name)) > 1}
    for names in versions.PLAYBOOKS.values():
        assert all((ROOT / "ansible" / f"{name}.yml").exists() for name in names)


def test_the_way_back_leads_to_the_newest_older_version_that_all_hosts_keep() -> None:
    found = {
        "master1": Installed("4.10.0", frozenset({"4.9.0", "4.8.0"})),
        "edge1": Installed("4.10.0", frozenset({"4.9.0"})),
    }
    assert versions.before(found, "kafka") == "4.9.0"


@pytest.mark.parametrize("worker", [Installed("4.2.2", frozenset({"4.3.1"})), Installed("4.3.1", frozenset({"4.2.2"}))])
def test_an_interrupted_upgrade_goes_back_and_an_interrupted_rollback_goes_on(worker: Installed) -> None:
    found = {"master1": Installed("4.3.1", frozenset({"4.2.2"})), "worker1": worker}
    assert versions.before(found, "kafka") == "4.2.2"


def test_where_nothing_older_lies_there_is_no_way_back() -> None:
    with pytest.raises(Problem, match="no way back"):
        versions.before({"master1": Installed("4.2.2", frozenset({"4.3.1"}))}, "kafka")


def test_only_hosts_with_another_version_restart() -> None:
    found = {host: Installed("4.2.2") for host in ("master1", "worker1", "edge1")} | {"worker2": Installed("4.3.1")}
    steps = versions.plan(WHOLE, found, "kafka", "4.3.1")
    assert [(step.host, step.unit) for step in steps] == [("worker1", "kafka"), ("master1", "kafka")]


def test_the_stream_is_part_of_an_upgrade_of_spark() -> None:
    steps = versions.plan(WHOLE, {host: Installed("4.1.1") for host in WHOLE.groups}, "spark", "4.2.0")
    assert steps[-1].unit == "retail-streaming"


def asking(wanted: dict[str, str]) -> Cluster:
    return Cluster({"master1": Host("master1", {"product_versions": wanted} if wanted else {})}, {})


def test_the_inventory_asks_for_what_is_not_of_this_release_only(tmp_path: Path) -> None:
    newest, older = Checkout.at(ROOT).versions("kafka")
    versions.write(asking({}), tmp_path, "kafka", older)
    text = (tmp_path / "versions.yml").read_text()
    assert yaml.safe_load(text) == {"all": {"vars": {"product_versions": {"kafka": older}}}}
    versions.write(asking({"kafka": older}), tmp_path, "kafka", newest)
    assert not list(tmp_path.iterdir())


def test_versions_in_the_groups_variables_are_not_overruled_in_silence(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="group_vars"):
        versions.write(asking({"kafka": "4.2.2"}), tmp_path, "kafka", "4.3.1")


def test_status_names_hosts_where_versions_differ() -> None:
    found = {
        "hadoop": {"3.5.0": ["master1", "worker1"]},
        "kafka": {"4.3.1": ["master1"], "4.2.2": ["worker1", "worker2"]},
    }
    assert versions_line(found) == "hadoop 3.5.0; kafka 4.3.1 on master1 and 4.2.2 on worker1, worker2"


def test_status_tells_that_an_upgrade_of_kafka_is_not_finalized() -> None:
    assert "make finalize" in window(replace(KAFKA, metadata_written=29, metadata_newest=30))
    assert not window(replace(KAFKA, metadata_written=30, metadata_newest=30))
    assert not window(Silent("no answer"))

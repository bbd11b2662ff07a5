"""`make upgrade`, `make rollback`, `make finalize`: another version of a product, host by host behind the gate.

The version is desired state, so it stands in the inventory, in a file of its own: `versions.yml`. Deploying the product
then moves every host to it, and goes on after an interruption with the hosts that are left.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from tools import ROOT, daemons
from tools.artefacts.products import Checkout
from tools.cluster import Cluster
from tools.health import lock
from tools.health.snapshot import Kafka, Snapshot, gather, states
from tools.health.units import HostReport, Installed, look_at
from tools.terminal import Problem, console
from tools.verbs.plan import Step, chosen, confirm, kafka_of, play, refuse, restart_plan, settle, show
from tools.verbs.restart import services

# The jobs run Spark's programs, too: the stream starts anew in the version of its executors.
PLAYBOOKS = {"hadoop": ("hdfs",), "kafka": ("kafka",), "spark": ("spark", "jobs")}
FILE = "versions.yml"  # of the inventory's folder, which Ansible reads as a whole
HEAD = "# Written by `make upgrade` and `make rollback`: products whose version is not the newest of this release.\n"


def check(product: str) -> None:
    """Refuse what is no product.

    Raises:
        Problem: It is not.
    """
    if not product:
        raise Problem(f"Which product? PRODUCT= is one of {', '.join(PLAYBOOKS)}.")
    chosen(product, list(PLAYBOOKS), "product")


def upgrade(cluster: Cluster, inventory: Path, product: str, version: str, yes: bool) -> None:
    """Let a product go to another version, host by host; the inventory asks for it from then on.

    Raises:
        Problem: There is no such version, it cannot read what is written, the gate says no, or a playbook failed.
    """
    check(product)
    Checkout.at(ROOT).chosen([(product, version)])
    change(cluster, inventory, product, version, yes, f"make upgrade PRODUCT={product} VERSION={version}")


def rollback(cluster: Cluster, inventory: Path, product: str, yes: bool) -> None:
    """Let a product go back to the version that its hosts ran before.

    Raises:
        Problem: No older version is kept, it cannot read what is written, the gate says no, or a playbook failed.
    """
    check(product)
    change(cluster, inventory, product, "", yes, f"make rollback PRODUCT={product}")


def finalize(cluster: Cluster, product: str, yes: bool) -> None:
    """Let Kafka write its metadata as the version that runs does; the version before cannot read it any more.

    Raises:
        Problem: Another product, hosts with several versions, or Kafka refuses.
    """
    check(product)
    if product != "kafka":
        raise Problem(f"There is nothing to finalize of {product}: it writes what its version before reads, too.")
    with lock.held(cluster, f"make finalize PRODUCT={product}"):
        versions = {found.runs for found in installed(look(cluster), product).values()}
        if len(versions) > 1:
            raise Problem(f"Hosts run {' and '.join(sorted(versions))}: end that upgrade or rollback first.")
        kafka = kafka_of(gather(cluster, systems={"kafka"}, blocks=False, units=False))
        (version,) = versions
        if kafka.metadata_written >= kafka.metadata_newest:
            console.print(f"Kafka's metadata is written as {version} does already: there is nothing to finalize.")
            return
        console.print(f"From now on Kafka's metadata is written as {version} does; there is no way back after it.")
        confirm(yes)
        console.print(
            on_broker(cluster, f"kafka-features --bootstrap-server {{}} upgrade --release-version {release(version)}")
        )


def change(cluster: Cluster, inventory: Path, product: str, version: str, yes: bool, verb: str) -> None:
    """Show the plan, write the version into the inventory, and deploy the product.

    Args:
        cluster: The hosts and their groups.
        inventory: Its folder.
        product: Its name.
        version: The one to go to; empty for the one that its hosts ran before.
        yes: Whether to go on without a question.
        verb: What the user typed.

    Raises:
        Problem: There is none to go back to, it cannot read what is written, the gate says no, or a playbook failed.
    """
    with lock.held(cluster, verb) as descriptor:
        reports = look(cluster)
        found = installed(reports, product)
        snapshot = replace(gather(cluster, units=False), units={name: states(one) for name, one in reports.items()})
        version = version or before(found, product)
        if product == "kafka" and any(numbers(version) < numbers(one.runs) for one in found.values()):
            check_metadata(cluster, kafka_of(snapshot), version)
        steps = plan(snapshot, found, product, version)
        console.print(f"{product} goes to {version} from {' and '.join(sorted({one.runs for one in found.values()}))}.")
        show(steps)
        refuse(steps)
        confirm(yes)
        make(inventory, product, version)
        write(cluster, inventory, product, version)
        order = list(dict.fromkeys([*(step.host for step in steps), *cluster.hosts]))
        for playbook in PLAYBOOKS[product]:
            if not play(playbook, {"product_order": order}, descriptor):
                raise Problem(
                    f"Stopped there. `{verb}` goes on with what is left, and {inventory / FILE} says the version."
                )
        settle(cluster, snapshot)


def plan(snapshot: Snapshot, found: Mapping[str, Installed], product: str, version: str) -> list[Step]:
    """The units that restart, on hosts that run another version.

    Args:
        snapshot: The cluster now.
        found: What the hosts have, by their names.
        product: Its name.
        version: The one that it goes to.
    """
    units = {daemon.unit for daemon in daemons.table().values() if daemon.product == product}
    hosts = [host for host, installed in found.items() if installed.runs != version]
    return restart_plan(snapshot, hosts, [unit for unit in services() if unit in units])


def look(cluster: Cluster) -> dict[str, HostReport]:
    """What all hosts say of themselves, by their names."""
    return cluster.on_all(lambda host: look_at(cluster, host))


def installed(reports: Mapping[str, HostReport], product: str) -> dict[str, Installed]:
    """What the hosts that have a product have of it, by their names.

    Args:
        reports: What all hosts say of themselves, by their names.
        product: Its name.

    Raises:
        Problem: A host does not answer, or none has it.
    """
    for name, report in reports.items():
        if report.unreachable:
            raise Problem(f"{name} does not answer ({report.unreachable}): which version it runs is not known.")
    found = {name: report.products[product] for name, report in reports.items() if product in report.products}
    if not found:
        raise Problem(f"No host has {product}: deploy it first, with `make site`.")
    return found


def before(found: Mapping[str, Installed], product: str) -> str:
    """The version to go back to: the newest of those older than what runs that all hosts have.

    Args:
        found: What the hosts have, by their names; after an interruption they run different versions.
        product: Its name.

    Raises:
        Problem: There is none.
    """
    newest = max((one.runs for one in found.values()), key=numbers)
    common = set.intersection(*({one.runs, *one.kept} for one in found.values()))
    if not (older := [version for version in common if numbers(version) < numbers(newest)]):
        raise Problem(f"No version of {product} that is older than {newest} lies on all hosts: there is no way back.")
    return max(older, key=numbers)


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, which can be compared."""
    return tuple(map(int, version.split(".")))


def release(version: str) -> str:
    """The release of Kafka that a version is of: `4.2` of 4.2.2."""
    return ".".join(version.split(".")[:2])


def check_metadata(cluster: Cluster, kafka: Kafka, version: str) -> None:
    """Refuse a version of Kafka that cannot read its metadata.

    Raises:
        Problem: It is written in a form that this version does not know.
    """
    said = on_broker(
        cluster, f"kafka-features --bootstrap-server {{}} version-mapping --release-version {release(version)}"
    )
    level = re.search(r"metadata\.version=(\d+) \((\S+)\)", said)
    if not level:
        raise Problem(f"kafka-features does not say what {version} reads:\n{said}")
    if kafka.metadata_written > int(level[1]):
        raise Problem(
            f"Kafka's metadata is written at level {kafka.metadata_written}, and {version} reads up to {level[1]} "
            f"({level[2]}): after `make finalize` there is no way back. Nothing was touched."
        )


def on_broker(cluster: Cluster, command: str) -> str:
    """What a command prints on a host with a broker; `{}` in it is the broker's address.

    Raises:
        Problem: It failed.
    """
    host = cluster.one_of("kafka_broker")
    done = host.run(command.format(f"{host.name}:{daemons.port('broker', 'clients')}"))
    if done.code:
        raise Problem(f"{host.name}: {done.last_words}")
    return done.out.strip()


def make(inventory: Path, product: str, version: str) -> None:
    """Make the archive of a version, beside those that the inventory asks for.

    Raises:
        Problem: It cannot be made.
    """
    words = ["all", "--inventory", str(inventory), "--also", f"{product}@{version}"]
    if subprocess.run([sys.executable, "-m", "tools.artefacts", *words], cwd=ROOT, check=False).returncode:
        raise Problem("Nothing was touched.")


def write(cluster: Cluster, inventory: Path, product: str, version: str) -> None:
    """Let the inventory ask for a version. The newest of this release needs no words.

    Args:
        cluster: As the inventory describes it.
        inventory: Its folder.
        product: Its name.
        version: The one that it goes to.

    Raises:
        Problem: The inventory says it elsewhere, which this could not overrule.
    """
    path, asked = inventory / FILE, cluster.variable("product_versions", dict[str, str]())
    text = path.read_text(encoding="utf-8") if path.exists() else "{}"
    own = (yaml.safe_load(text) or {}).get("all", {}).get("vars", {}).get("product_versions", {})
    if own != asked:
        raise Problem(
            f"product_versions of {inventory} stand in its group_vars: change {product} there, or move them to {path}."
        )
    asked = {name: one for name, one in asked.items() if name != product}
    if version != Checkout.at(ROOT).versions(product)[0]:
        asked[product] = version
    if asked:
        path.write_text(HEAD + yaml.safe_dump({"all": {"vars": {"product_versions": asked}}}), encoding="utf-8")
    else:
        path.unlink(missing_ok=True)

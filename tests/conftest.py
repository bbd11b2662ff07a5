from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lab.vagrant import lxc_box
from tests.accounts import Nobody, Person, add_person, nobody_with_a_home, remove_person
from tests.commands import Result, expect_success, run
from tests.labs import ROOT, TestLab, copy, derive, destroy, link_cache, link_tree
from tools import cluster as clusters
from tools.artefacts import __main__ as artefacts
from tools.artefacts.products import Checkout

NEW_KAFKA, OLD_KAFKA = Checkout.at(ROOT).versions("kafka")
DEAD_PROXY = {"http_proxy": "http://127.0.0.1:9"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="leave the lab of the cluster tests up, to look at it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the lab that the tests share: the rest runs beside it in `make test`."""
    for item in items:
        if isinstance(item, pytest.Function) and "cluster" in item.fixturenames:
            item.add_marker("shared_lab")


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    """A user without rights, with a home."""
    with nobody_with_a_home() as user:
        yield user


@pytest.fixture
def own_hosts(tmp_path: Path) -> Path:
    """What the user has as /etc/hosts: this machine's, without the names of hosts of any lab."""
    file = tmp_path / "hosts"
    known = Path("/etc/hosts").read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in known if not re.search(r"\b(master|worker|edge)\d", line)))
    return file


@pytest.fixture(scope="session")
def packages(cluster: Cluster) -> Path:
    """The Python packages of this checkout, for the user, who may not look into it."""
    folder = cluster.user.home / "packages"
    link_tree(Path(pytest.__file__).parents[1], folder)
    return folder


@dataclass
class Cluster:
    """The lab of the tests, deployed, with the commands that a user has.

    Attributes:
        user: Who made it: an ordinary user, who types every command in a terminal.
        lab: Where it lies, in a checkout of the user's own.
    """

    user: Person
    lab: TestLab
    interrupted: Result = field(init=False)
    deployed: Result = field(init=False)

    @property
    def checkout(self) -> Path:
        """The folder in which the user types."""
        return self.lab.checkout

    def make(
        self,
        *words: str,
        check: bool = True,
        timeout: float = 900,
        inventory: Path | None = None,
        interrupt_at: str = "",
    ) -> Result:
        """Run make for this lab, with a proxy in the environment that does not answer."""
        command = ("make", *words, f"INVENTORY={(inventory or self.lab.inventory).relative_to(self.checkout)}")
        result = self.user.run(
            *command, cwd=self.checkout, variables=DEAD_PROXY, timeout=timeout, interrupt_at=interrupt_at
        )
        return expect_success(command, result) if check else result

    def shell(self, command: str, hosts: Path, packages: Path, check: bool = True) -> Result:
        """Run a shell command in the checkout, in a terminal.

        Args:
            command: The command.
            hosts: What is /etc/hosts for this command alone.
            packages: Folder of Python packages that the user has beside those of the checkout.
            check: Whether it has to succeed.
        """
        inside = ("unshare", "--mount", "bash", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts))
        inventory = str(self.lab.inventory.relative_to(self.checkout))
        variables = {"INVENTORY": inventory, "ANSIBLE_INVENTORY": ",".join(self.lab.inventories)}
        variables["PATH"] = f"{self.checkout}/.venv/bin:{self.user.environment['PATH']}"
        variables["PYTHONPATH"] = str(packages)
        words = ("bash", "-c", command)
        done = self.user.run(*words, cwd=self.checkout, variables=variables, timeout=900, inside=inside)
        return expect_success(words, done) if check else done

    @property
    def hosts(self) -> clusters.Cluster:
        """The hosts as the verbs know them."""
        return clusters.from_inventory(self.lab.inventories)

    def python(self, *words: str) -> Result:
        """Run a module of the checkout, as the user."""
        return run(*self.user.prefix, str(self.checkout / ".venv/bin/python"), "-m", *words, cwd=self.checkout)

    def ssh_words(self, *words: str) -> list[str]:
        """The words of a command that goes to a host by ssh, as the lab's user."""
        return [*self.user.prefix, "ssh", "-F", self.lab.ssh_config, *words]

    def ssh(self, host: str, command: str, check: bool = True, timeout: float = 240) -> Result:
        """Run a shell command on a host as its ordinary user, who may use sudo."""
        return run(*self.ssh_words(host, command), check=check, timeout=timeout)

    def show(self, host: str, unit: str, property: str) -> str:
        """Return a property of a unit."""
        return self.ssh(host, f"systemctl show --property {property} --value {unit}").output.strip()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The whole cluster, deployed from nothing, and taken away at the end.

    Made as its users make it: by somebody whose sudo asks for a password, in a folder with spaces and umlauts in its
    name, behind a proxy. The first attempt is interrupted in the middle of the deployment; the second one goes on.
    """
    with ExitStack() as undone:
        home = Path("/home/shopfloor-e2e")
        checkout = home / "Läden und Kassen" / "shop floor"
        destroy(checkout, "e2e")  # an interrupted run may have left it
        user = add_person(home)
        undone.callback(remove_person, home)
        copy(checkout)
        made = Cluster(user, derive("lab", "e2e", "192.168.57", 10000, checkout=checkout))
        # It begins with Kafka's version before, from which the tests of day two go to that of this release.
        asked = {"all": {"vars": {"product_versions": {"kafka": OLD_KAFKA}}}}
        (made.lab.inventory / "versions.yml").write_text(yaml.safe_dump(asked))
        user.owns(user.home)
        lxc_box.tree()  # the labs of this checkout, beside which this one is made, need it as well
        # That archive is made here, for the user's proxy does not answer, and what runs beside has no use for it.
        release = Checkout.at(ROOT)
        with artefacts.alone(release):
            artefacts.pack(release, release.chosen({("kafka", OLD_KAFKA)}), platform.machine())
            link_cache(checkout)
        undone.callback(destroy, checkout, "e2e")
        made.interrupted = made.make("lab", interrupt_at="TASK [kafka : ", check=False, timeout=1800)
        made.deployed = made.make("lab", timeout=1800)
        yield made
        if request.config.getoption("--keep-lab"):
            undone.pop_all()

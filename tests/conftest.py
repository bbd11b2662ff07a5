from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Timer
from typing import TypeVar

import pytest

from tests.labs import OUTPUT, ROOT, TestLab, derive

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-lab", action="store_true", help="leave the lab of the cluster tests up, to look at it")


@dataclass
class Result:
    """What a command printed, how it ended and how long it took (seconds)."""

    code: int
    output: str
    seconds: float

    @property
    def changed(self) -> int:
        """Number of changes that Ansible counted in all its recaps."""
        return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", self.output))


def run(
    *command: str, timeout: float = 900, check: bool = True, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> Result:
    """Run a command in a checkout; the end of its output is the message when it fails."""
    started = time.monotonic()
    with TemporaryFile("w+") as output:  # not a pipe: what a command leaves running would keep that open
        done = subprocess.run(
            command, cwd=cwd, timeout=timeout, env=env,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - started
        output.seek(0)
        result = Result(done.returncode, output.read(), seconds)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "commands.log").open("a") as log:
        log.write(f"$ {' '.join(command)}\n{result.output}\n-> {result.code} after {result.seconds:.1f} s\n\n")
    assert not check or result.code == 0, f"{' '.join(command)} ended with {result.code}:\n{result.output[-6000:]}"
    return result


def wait_for(what: str, question: Callable[[], T], seconds: float = 180) -> T:
    """Ask until the answer is true, and return it; the last answer or error is in the message when it never is."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            answer = question()
            if answer:
                return answer
            last = answer
        except (OSError, AssertionError, ValueError, KeyError) as error:
            last = error
        time.sleep(1)
    pytest.fail(f"after {seconds:.0f} s still not: {what}; last: {last!r}")


@dataclass(frozen=True)
class Nobody:
    """A user who may read this checkout wherever it lies, and may not become root.

    Attributes:
        home: A folder of his own.
        prefix: The words to put before a command that he is to run.
    """

    home: Path

    @property
    def prefix(self) -> tuple[str, ...]:
        reads = "-all,+dac_read_search"
        return (
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
            f"--bounding-set={reads}", f"--inh-caps={reads}", f"--ambient-caps={reads}", "env", f"HOME={self.home}",
        )  # fmt: skip


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    """A user without rights, with a home."""
    with TemporaryDirectory(prefix="nobody-") as folder:
        os.chown(folder, 65534, 65534)
        yield Nobody(Path(folder))


@dataclass
class Cluster:
    """The lab of the tests, deployed, with the commands that a user has."""

    lab: TestLab
    interrupted: str = ""
    deployed: Result = field(init=False)

    def make(self, *words: str, check: bool = True, timeout: float = 900) -> Result:
        """Run make for this lab, as a user would."""
        return run("make", *words, f"INVENTORY={self.lab.inventory}", check=check, timeout=timeout)

    def interrupt(self, moment: str) -> str:
        """Run `make lab`, press Ctrl-C when it prints something, and return what it printed.

        Args:
            moment: Beginning of the line to wait for.
        """
        command = ["make", "lab", f"INVENTORY={self.lab.inventory}"]
        process = subprocess.Popen(
            command, cwd=ROOT, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout
        # Ansible waits for ever for a worker that ended while it held the queue of results; then a user presses again.
        again = Timer(60, os.killpg, (process.pid, signal.SIGINT))
        output = ""
        for line in process.stdout:
            output += line
            if line.startswith(moment):
                os.killpg(process.pid, signal.SIGINT)
                again.start()
        assert process.wait(), output
        again.cancel()
        return output

    def ssh(self, host: str, command: str, check: bool = True, timeout: float = 240) -> Result:
        """Run a shell command on a host as its ordinary user, who may use sudo."""
        config = ROOT / ".lab" / self.lab.name / "ssh_config"
        return run("ssh", "-F", str(config), host, command, check=check, timeout=timeout)

    def show(self, host: str, unit: str, property: str) -> str:
        """Return a property of a unit."""
        return self.ssh(host, f"systemctl show --property {property} --value {unit}").output.strip()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The whole cluster, deployed from nothing in a lab of its own, and taken away at the end.

    The first attempt is interrupted in the middle of the deployment; the second one goes on.
    """
    made = Cluster(derive("lab", "e2e", "192.168.57", 10000))
    made.make("destroy")
    made.interrupted = made.interrupt("TASK [kafka : ")
    made.deployed = made.make("lab", timeout=1800)
    yield made
    if not request.config.getoption("--keep-lab"):
        made.make("destroy")

"""Commands that tests run, each written down with what it printed: tests/output/commands.log."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import pytest

from tests.labs import OUTPUT, ROOT

T = TypeVar("T")


@dataclass
class Result:
    """What a command printed, how it ended, how long it took (seconds), how often sudo asked for a password."""

    code: int
    output: str
    seconds: float
    passwords: int = 0

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
        result = record(command, Result(done.returncode, output.read(), seconds))
    return expect_success(command, result) if check else result


def record(command: Sequence[str], result: Result) -> Result:
    """Write a command down."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "commands.log").open("a") as log:
        log.write(f"$ {' '.join(command)}\n{result.output}\n-> {result.code} after {result.seconds:.1f} s\n\n")
    return result


def expect_success(command: Sequence[str], result: Result) -> Result:
    """Fail the test, with the end of the output, unless the command ended well."""
    assert result.code == 0, f"{' '.join(command)} ended with {result.code}:\n{result.output[-6000:]}"
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

"""Accounts of this machine that tests work as: a user with a password who may use sudo, and one without any rights."""

from __future__ import annotations

import io
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pexpect

from tests.commands import Result, record

SUDO_ASKS = r"\[sudo\] password for [^:]+: ?"
INTERRUPT = "\x03"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WIDTH = 400  # columns; a row of a table is a line


@dataclass(frozen=True)
class Person:
    """An ordinary user of this machine: sudo asks for the password, on a terminal.

    Attributes:
        name: Of the account.
        password: Of the account.
        home: The home folder.
    """

    name: str
    password: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a login gives, with what this machine's owner set for every client of a package registry."""
        kept = {name: value for name, value in os.environ.items() if "CERT" in name or "_CA_" in name or "PIP_" in name}
        account = {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name, "SHELL": "/bin/bash"}
        terminal = {"LANG": "C.UTF-8", "TERM": "xterm", "COLUMNS": f"{WIDTH}"}
        return kept | account | terminal | {"PATH": "/usr/local/bin:/usr/bin:/bin"}

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words to put before a command that root runs as this user."""
        return ("setpriv", f"--reuid={self.name}", f"--regid={self.name}", "--init-groups")

    def owns(self, folder: Path) -> None:
        """Give a folder and all in it to this user; nothing in it may be a hard link to what is somebody else's."""
        subprocess.run(["chown", "--recursive", "--no-dereference", f"{self.name}:{self.name}", folder], check=True)

    def run(
        self,
        *command: str,
        cwd: Path,
        variables: dict[str, str],
        timeout: float,
        interrupt_at: str = "",
        inside: tuple[str, ...] = (),
    ) -> Result:
        """Run a command as this user would, in a terminal, and type the password whenever sudo asks for it.

        Args:
            command: The command and its arguments.
            cwd: Where.
            variables: Variables of the environment that differ.
            timeout: Seconds that it may take.
            interrupt_at: Press Ctrl-C when this is printed.
            inside: Words of root's to put before, that change what the command finds.
        """
        started, seen, asked = time.monotonic(), io.StringIO(), 0
        program, *arguments = [*inside, *self.prefix, *command]
        child = pexpect.spawn(
            program, arguments, cwd=str(cwd), env=self.environment | variables, timeout=timeout,
            encoding="utf-8", codec_errors="replace", dimensions=(50, WIDTH), echo=False,
        )  # fmt: skip
        child.logfile_read = seen
        awaited: list[Any] = [pexpect.EOF, SUDO_ASKS]
        if interrupt_at:
            awaited.append(re.escape(interrupt_at))
        try:
            while (found := child.expect(awaited)) != 0:
                if found == 1:
                    asked += 1
                    child.sendline(self.password)
                else:
                    awaited.pop()
                    # One that comes at the wrong moment is lost to Ansible; then a user presses again.
                    for _ in range(60):
                        child.send(INTERRUPT)
                        if child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=5) == 0:
                            break
                    break
        finally:
            child.close(force=True)
        text = ESCAPES.sub("", seen.getvalue()).replace("\r\n", "\n")
        code = child.exitstatus if child.exitstatus is not None else -int(child.signalstatus or 0)
        return record(command, Result(code, text, time.monotonic() - started, asked))


def add_person(home: Path) -> Person:
    """Make an account, named like its home, with a password and with sudo as Debian gives it to its group sudo."""
    remove_person(home)  # an interrupted run may have left it
    person = Person(home.name, secrets.token_urlsafe(12), home)
    options = ("--create-home", "--home-dir", home, "--shell", "/bin/bash", "--groups", "sudo")
    subprocess.run(["useradd", *options, person.name], check=True)
    subprocess.run(["chpasswd"], input=f"{person.name}:{person.password}\n", text=True, check=True)
    return person


def remove_person(home: Path) -> None:
    """Remove an account and its home."""
    if subprocess.run(["id", home.name], capture_output=True, check=False).returncode == 0:
        subprocess.run(["userdel", "--force", home.name], check=True)
    subprocess.run(["rm", "-rf", "--one-file-system", home], check=True)


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


@contextmanager
def nobody_with_a_home() -> Iterator[Nobody]:
    """The user without rights."""
    with TemporaryDirectory(prefix="nobody-") as folder:
        os.chown(folder, 65534, 65534)
        yield Nobody(Path(folder))

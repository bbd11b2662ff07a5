"""Pages of docs/ whose commands are run: what they show must come out.

A fenced block that says where it is typed is read, for instance

    ```console edge1                                        ```pycon edge1
    $ hdfs dfs -ls                                          >>> spark.range(3).count()
    Found … items                                           3
    ```                                                     ```

`console` is a shell, in the home folder for each command; `pycon` is pyspark, which stays open until `exit()` or the
end of the page. The host `here` is the user's own machine, in the checkout. `> ` goes on with a command. In what is
shown, `…` stands for anything and space for any space; what is not shown may come out as well. A command ends well,
unless the page shows what make says of one that does not. A page speaks of the profile `lab`; its ports, addresses and
data become those of the lab that the tests have.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.conftest import Cluster
from tests.labs import ROOT, TestLab

PROMPTS = {"console": ("$ ", "> "), "pycon": (">>> ", "... ")}
EXIT = "exit()"
MAKE_FAILS = "make: *** "
COMMAND_SECONDS = 600
FENCE = re.compile(r"^```(?P<language>\w*) ?(?P<host>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A command of a page, and what the page shows that it prints."""

    line: int
    command: str
    shown: str = ""

    def check(self, printed: str) -> None:
        """Compare.

        Raises:
            AssertionError: something else came out.
        """
        words = [re.escape(word).replace("…", ".*?") for word in self.shown.split()]
        pattern = r"\s+".join(words).replace(r"\s+.*?\s+", r"\s(?:.*?\s)?")
        assert re.search(pattern, printed, re.DOTALL), (
            f"line {self.line}: {self.command}\nprinted\n{printed[-3000:]}\ninstead of\n{self.shown}"
        )


@dataclass
class Block:
    """Steps that are typed one after the other into the same shell."""

    language: str
    host: str
    steps: list[Step] = field(default_factory=list)


def read(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that say where they are typed.

    Raises:
        AssertionError: a block begins with something else than a command.
    """
    text = page.read_text()
    for fence in FENCE.finditer(text):
        if not fence["host"]:
            continue
        block, (prompt, more) = Block(fence["language"], fence["host"]), PROMPTS[fence["language"]]
        first = text.count("\n", 0, fence.start()) + 2
        for number, line in enumerate(fence["text"].splitlines(), first):
            if line.startswith(prompt):
                block.steps.append(Step(number, line.removeprefix(prompt)))
                continue
            assert block.steps, f"{page.name}, line {number}: no command before this"
            step = block.steps[-1]
            if f"{line} ".startswith(more) and not step.shown:
                step.command += f"\n{line[len(more) :]}"
            else:
                step.shown += f"{line}\n"
        yield block


class Shell:
    """An interactive shell behind a terminal, into which one types and waits for its prompt."""

    def __init__(self, command: list[str], prompt: str) -> None:
        self._prompt, self._printed = prompt, ""
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout
        while chunk := os.read(self._process.stdout.fileno(), 65536):
            self._printed += chunk.decode(errors="replace")

    def wait(self, seconds: float = 240) -> str:
        """Wait until the prompt stands at the end, and return what was printed since the last time."""
        deadline = time.monotonic() + seconds
        while not re.search(rf"{re.escape(self._prompt.strip())}\s*(\x1b\[[\d;?]*[a-zA-Z]\s*)*$", self._printed):
            assert time.monotonic() < deadline and self._process.poll() is None, f"no prompt:\n{self._printed[-3000:]}"
            time.sleep(0.1)
        printed, self._printed = self._printed, ""
        return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", printed)

    def type(self, text: str) -> None:
        """Type a line."""
        assert self._process.stdin
        self._process.stdin.write(f"{text}\n".encode())
        self._process.stdin.flush()

    def leave(self) -> None:
        """Leave it in the way that it offers."""
        self.type(EXIT)
        self._process.wait(timeout=60)

    def close(self) -> None:
        """Hang up, as somebody does who closes the window."""
        self._process.terminate()
        self._process.wait()


def run_page(cluster: Cluster, page: Path, hosts: Path, packages: Path) -> None:
    """Do all that a page says, from its first line to its last.

    Args:
        cluster: the lab.
        page: the page.
        hosts: what the user's own machine has as /etc/hosts; commands may change it.
        packages: folder of Python packages that the user has there.

    Raises:
        AssertionError: a command failed, or printed something else than the page shows.
    """
    with ExitStack() as opened:
        shells: dict[str, Shell] = {}
        for block in read(page):
            for step in block.steps:
                if block.language == "console":
                    _type_into_bash(cluster, block.host, step, hosts, packages)
                    continue
                if block.host not in shells:
                    shell = Shell(cluster.ssh_words("-tt", block.host, "pyspark"), PROMPTS[block.language][0])
                    opened.callback(shell.close)
                    shell.wait()
                    shells[block.host] = shell
                if step.command == EXIT:
                    shells.pop(block.host).leave()
                else:
                    shells[block.host].type(step.command)
                    step.check(shells[block.host].wait())


def _type_into_bash(cluster: Cluster, host: str, step: Step, hosts: Path, packages: Path) -> None:
    command, shown = (_translate(cluster.lab, text, cluster.checkout) for text in (step.command, step.shown))
    if host == "here":
        done = cluster.shell(command, hosts, packages, check=MAKE_FAILS not in shown)
    else:
        done = cluster.ssh(host, command, timeout=COMMAND_SECONDS)
    Step(step.line, command, shown).check(done.output)


def _translate(lab: TestLab, text: str, checkout: Path) -> str:
    """What a page says of the profile lab, for another lab."""
    usual = ROOT / "inventories" / "lab"
    for ui, row in yaml.safe_load((usual / "group_vars" / "all.yml").read_text())["lab_publish"].items():
        text = text.replace(f"localhost:{row['port']}/", f"localhost:{lab.ports[ui]}/")
    # Not what is called so in HDFS.
    text = re.sub(r"(?<![\w/])data/(input|output)\b", rf"{lab.data.relative_to(checkout)}/\1", text)
    text = text.replace("inventories/lab/", f"{lab.inventory.relative_to(checkout)}/")
    before, after = (
        next(iter(yaml.safe_load((folder / "hosts.yml").read_text())["all"]["hosts"].values()))["ansible_host"]
        for folder in (usual, lab.inventory)
    )
    return text.replace(before.rpartition(".")[0], after.rpartition(".")[0])

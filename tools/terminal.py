"""What the commands on the control side share: how they speak, how they stop, and how they ask a UI."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


# The UIs are published on this machine: a proxy of the environment would look for them elsewhere.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Problem(Exception):
    """Something the user can mend; the message says what is wrong and what to do."""


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how many seconds it took."""
    console.print(f"  {what} ...", style="dim", markup=False)
    start = time.monotonic()
    yield
    console.print(f"  {what}: {time.monotonic() - start:.1f} s", markup=False)


def nearest(name: str, known: Collection[str], otherwise: str = "") -> str:
    """A sentence for somebody who typed a name that is not there.

    Args:
        name: What was typed.
        known: The names that there are.
        otherwise: What to say when none of them is near; by default all of them.
    """
    near = get_close_matches(name, known, 1)
    return f"Did you mean {near[0]}?" if near else otherwise or f"Take one of: {', '.join(known)}."


def say_verdict(wrong: Sequence[str]) -> bool:
    """Say OK, or NO and what is still wrong.

    Args:
        wrong: A line for each thing.

    Returns:
        Whether it is OK.
    """
    if not wrong:
        console.print("OK", style="bold green")
        return True
    console.print("NO", style="bold red")
    for line in wrong:
        console.print(f"  {line}", markup=False)
    return False


def fetch(url: str, timeout: float = 20) -> str:
    """Content of a page on this machine, asked for directly whatever proxies the environment names.

    Args:
        url: Its address.
        timeout: Seconds without a sign of life.

    Raises:
        OSError: Nothing answers, or it answers with an error (`urllib.error.HTTPError`).
    """
    with _direct.open(url, timeout=timeout) as answer:
        content: bytes = answer.read()
    return content.decode()


def run(command: Callable[[], None]) -> None:
    """Run a command of a tool; a Problem ends the process with exit code 1."""
    try:
        command()
    except Problem as problem:
        errors.print("ERROR ", style="bold red", end="")
        errors.print(str(problem), markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("\nInterrupted; the same command goes on where this one stopped.", markup=False)
        sys.exit(130)

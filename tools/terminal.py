"""What the commands on the control side share: how they speak, and how they stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Problem(Exception):
    """Something the user can mend; the message says what is wrong and what to do."""


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how many seconds it took."""
    console.print(f"  {what} ...", style="dim", markup=False)
    start = time.monotonic()
    yield
    console.print(f"  {what}: {time.monotonic() - start:.1f} s", markup=False)


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

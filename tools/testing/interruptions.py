"""The batch, stopped instead of one of its changes of the file system, for tests.

As a program it is the batch, which kills its own process after so many changes:

    python -m tools.testing.interruptions 3
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import NoReturn
from unittest.mock import patch

from retail_jobs import batch
from retail_jobs.storage import Storage


class Stopped(BaseException):
    """Not an error that anyone handles."""


def give_up() -> NoReturn:
    """Leave the run, and this process alive."""
    raise Stopped


def die() -> None:
    """End as after a power cut, as far as a process can: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


class StoppingStorage(Storage):
    """Stops instead of the change after so many."""

    def __init__(self, changes: int, stop: Callable[[], None] = give_up) -> None:
        self._left, self._stop = changes, stop

    def _change(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._stop()

    def replace(self, source: str, target: str) -> None:
        """See `Storage`."""
        self._change()
        super().replace(source, target)

    def delete(self, path: str) -> None:
        """See `Storage`."""
        self._change()
        super().delete(path)

    def snapshot(self, folder: str, name: str) -> None:
        """See `Storage`."""
        self._change()
        super().snapshot(folder, name)

    def delete_snapshot(self, folder: str, name: str) -> None:
        """See `Storage`."""
        self._change()
        super().delete_snapshot(folder, name)


if __name__ == "__main__":
    with patch.object(batch, "Storage", partial(StoppingStorage, int(sys.argv.pop()), die)):
        sys.exit(batch.main())

"""What the lab is doing, with the time since the start, and whether anything was changed."""

from __future__ import annotations

import time
from pathlib import Path


class Progress:
    """Prints each step as it happens and appends it to a log.

    Attributes:
        changed: Whether any step changed something.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._start = time.monotonic()
        self._log = log
        self.changed = False

    def say(self, text: str, *, changed: bool = False) -> None:
        """Report a step."""
        self.changed = self.changed or changed
        line = f"[{time.monotonic() - self._start:6.1f} s] {text}"
        print(f"  {line}", flush=True)
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(line + "\n")

    def change(self, text: str) -> None:
        """Report a step that changed something."""
        self.say(text, changed=True)

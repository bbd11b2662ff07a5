"""What the lab is doing, with the time since the start, and whether anything was changed."""

from __future__ import annotations

import sys
import time
from pathlib import Path


class Progress:
    """Collects steps; prints each as it happens to standard error and appends it to logs.

    Attributes:
        changed: Whether any step changed something.
        steps: The lines said so far.
    """

    def __init__(self, *logs: Path | None) -> None:
        self._start = time.monotonic()
        self._logs = [log for log in logs if log is not None]
        self.changed = False
        self.steps: list[str] = []

    def say(self, text: str, *, changed: bool = False) -> None:
        """Report a step."""
        self.changed = self.changed or changed
        line = f"[{time.monotonic() - self._start:6.1f} s] {text}"
        self.steps.append(line)
        print(line, file=sys.stderr, flush=True)
        for path in self._logs:
            with path.open("a", encoding="utf-8") as log:
                log.write(line + "\n")

    def change(self, text: str) -> None:
        """Report a step that changed something."""
        self.say(text, changed=True)

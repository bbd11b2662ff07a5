"""Runs the module of the same name and prints its steps as they happen, which a module alone cannot do."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.constants import DEFAULT_LOCAL_TMP  # type: ignore[import-untyped]
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]
    """Adds to the lab's description who owns its files, and where the steps go."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        with tempfile.TemporaryDirectory(dir=DEFAULT_LOCAL_TMP) as folder:
            steps = Path(folder) / "steps"
            steps.touch()
            arguments["lab"] = {**arguments.get("lab", {}), "owner": _owner(), "steps": str(steps)}
            with _shown(steps):
                answer = self._execute_module(module_name="lab_hosts", module_args=arguments, task_vars=task_vars)
        return {**result, **answer}


def _owner() -> list[int]:
    """The user who asked for the lab, also when the whole command runs under sudo."""
    if os.getuid() == 0 and "SUDO_UID" in os.environ:
        return [int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", "0"))]
    return [os.getuid(), os.getgid()]


@contextlib.contextmanager
def _shown(steps: Path) -> Iterator[None]:
    finished = threading.Event()

    def follow() -> None:
        with steps.open(encoding="utf-8") as lines:
            while True:
                last = finished.is_set()
                for line in lines:
                    display.display(f"  {line.rstrip()}")
                if last:
                    return
                finished.wait(0.2)

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()

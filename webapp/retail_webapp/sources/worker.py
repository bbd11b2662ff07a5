"""A thread that starts late and stops on request."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Worker:
    """Runs one function in a daemon thread; the function ends when `stopping` is set.

    A daemon thread, because a client that hangs in native code must not keep the process from ending.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.stopping = threading.Event()
        self._name = name
        self._run = run
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread when it does not run yet."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def stop(self, timeout: float = 3.0) -> None:
        """Ask the thread to end, and wait at most `timeout` seconds for it."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                log.warning("%s did not end within %s s", self._name, timeout)

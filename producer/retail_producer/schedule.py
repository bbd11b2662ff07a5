"""When the next event is due."""


class Schedule:
    """Due times at a fixed rate, counted from a start on a monotonic clock, so that waits never add up.

    A short delay is caught up. After one longer than `patience` (no broker was there) the schedule starts
    anew instead of sending the whole gap at once.

    Attributes:
        rate: Events per second; 0 means that every event is due at once.
        patience: Longest delay, in seconds, that is caught up.
    """

    # Above this rate events are sent in small groups: a sleep per event would cost more than the event.
    TICK = 0.005
    # So many at once that handing them over costs little for each, so few that a stop is noticed at once.
    GROUP = 500

    def __init__(self, rate: float, start: float, patience: float = 5.0) -> None:
        self.rate = rate
        self.patience = patience
        self._start = start
        self._sent = 0

    def wait(self, now: float) -> float:
        """Seconds from `now` to the moment to send the next event; 0 when it is due."""
        if self.rate == 0:
            return 0.0
        delay = self._start + self._sent / self.rate - now
        if delay < -self.patience:
            self._start, self._sent = now, 0
            return 0.0
        return max(delay, self.TICK) if delay > 0 else 0.0

    def due(self, now: float) -> int:
        """How many events are due, `GROUP` at most; ask when there is no `wait`."""
        if self.rate == 0:
            return self.GROUP
        return max(1, min(int((now - self._start) * self.rate) + 1 - self._sent, self.GROUP))

    def sent(self, events: int) -> None:
        """Count events."""
        self._sent += events

"""Run the producer: `python -m retail_producer --rate 5 --loop`.

Exit codes: 0 everything was delivered, up to the end or to a stop that was asked for; 1 an event was not
delivered; 2 the configuration or the input is not usable, and a restart would not help.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from types import FrameType

from retail_producer import rows
from retail_producer.delivery import Delivery, DeliveryError
from retail_producer.notify import notify
from retail_producer.schedule import Schedule
from retail_producer.settings import ConfigurationError, Settings, load

PROGRESS_EVERY = 30.0
FLUSH_TIMEOUT = 10.0

log = logging.getLogger("retail_producer")


class Stop:
    """Remembers that SIGTERM or SIGINT came."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self.requested

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


class Progress:
    """Says every now and then how far it is; tells systemd when the first event has arrived."""

    def __init__(self, delivery: Delivery, now: float) -> None:
        self._delivery = delivery
        self._ready = False
        self._last = (now, 0)

    def look(self, now: float) -> None:
        """Report if it is time to."""
        if not self._ready and self._delivery.delivered:
            log.info("first event acknowledged")
            self.ready()
        if now - self._last[0] >= PROGRESS_EVERY:
            self.report(now)

    def ready(self) -> None:
        """Tell systemd, once, that the producer has started: it takes one that ends before that for a failure."""
        if not self._ready:
            self._ready = True
            notify(READY="1", STATUS="sending")

    def report(self, now: float) -> None:
        """Report now."""
        then, before = self._last
        counts = self._delivery
        rate = (counts.delivered - before) / (now - then) if now > then else 0.0
        self._last = (now, counts.delivered)
        line = f"sent={counts.sent} delivered={counts.delivered} rate={rate:.1f}/s in_queue={counts.queued}"
        log.info(line)
        notify(STATUS=line)


def run(settings: Settings) -> int:
    """Send the input; the exit code.

    Raises:
        ConfigurationError: The input is not usable.
        DeliveryError: An event was not delivered.
    """
    rows.sources(settings.input_path)  # refuse unusable input before anything is sent
    stop = Stop()
    delivery = Delivery(settings, stopping=stop)
    log.info(
        "sending %s to topic %s at %s: %s, event time %s%s",
        settings.input_path,
        settings.sales_topic,
        settings.kafka_bootstrap_servers,
        f"{settings.events_per_second:g} events/s" if settings.events_per_second else "as fast as possible",
        settings.event_time,
        ", in a loop" if settings.loop else "",
    )
    progress = Progress(delivery, time.monotonic())
    try:
        send_all(settings, delivery, progress, stop)
        while not stop() and not delivery.drained():
            progress.look(time.monotonic())
        progress.ready()
    finally:
        notify(STOPPING="1")
        left = delivery.flush(FLUSH_TIMEOUT)
        progress.report(time.monotonic())
    if left:
        raise DeliveryError(f"stopped with {left} events that no broker acknowledged; they may be missing")
    log.info("%s: all %d events delivered", "stopped" if stop() else "end of the input", delivery.delivered)
    return 0


def send_all(settings: Settings, delivery: Delivery, progress: Progress, stop: Callable[[], bool]) -> None:
    """Send events, each made when it is due, until the input ends or a stop is asked for."""
    events = rows.passes(settings.input_path, loop=settings.loop, original=settings.event_time == "original")
    schedule = Schedule(settings.events_per_second, time.monotonic())
    while not stop():
        now = time.monotonic()
        progress.look(now)
        if (wait := schedule.wait(now)) > 0:
            delivery.pause(min(wait, 1.0))
            continue
        group = list(islice(events, schedule.due(now)))
        if not group or not delivery.send(group):
            return
        schedule.sent(len(group))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    try:
        return run(load(argv))
    except ConfigurationError as error:
        log.error("%s", error)
        return 2
    except DeliveryError as error:
        log.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
